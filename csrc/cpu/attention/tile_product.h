// Matrix products on tiles that already lie in cache, on one thread: c = a b, or added to c.
//
// c is m x n, a is m x k, b is k x n with rows of whole vectors. A block of kBlockRows x
// kBlockVectors accumulators stays in registers over the whole of k; each step broadcasts one
// element of a per row and multiplies it into the vectors of b. Nothing is packed: a is read
// through any strides, since each of its elements is fetched once per panel of columns and from L1.
#pragma once

#include "cpu/simd.h"

namespace pyllm::PYLLM_ISA {

#if defined(__AVX512F__)
constexpr int kBlockRows = 12, kBlockVectors = 2;  // 24 of 32 registers accumulate
#else
constexpr int kBlockRows = 6, kBlockVectors = 2;  // 12 of 16
#endif

// Columns of a register block, and of a panel: the queries that one tile of scores holds. Narrow
// panels waste little on the diagonal of a causal mask; 32 keeps the products over queries long.
template <class C>
constexpr int kBlockColumns = kBlockVectors * Vec<C>::lanes;
constexpr int kPanel = 32;

enum class Into {
  overwrite,  // c = a b
  add,        // c += a b
  rescale,    // c = c * factors (one a column) + a b
};

// The left operand: element (r, i) lies at data[r * row + i * column].
template <class C>
struct Left {
  const C* data;
  int64_t row, column = 1;
};

template <Into into, int R, int V, class C>
inline void product_block(int64_t k, Left<C> a, const C* b, int64_t ldb, C* c, int64_t ldc,
                          const C* factors) {
  constexpr int L = Vec<C>::lanes;
  Vec<C> sums[R][V];
#pragma GCC unroll 12
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) {
      if constexpr (into == Into::overwrite) {
        sums[r][v] = C(0);
      } else if constexpr (into == Into::add) {
        sums[r][v] = load(c + r * ldc + v * L);
      } else {
        sums[r][v] = load(c + r * ldc + v * L) * load(factors + v * L);
      }
    }
  }
  for (int64_t i = 0; i < k; ++i, a.data += a.column, b += ldb) {
    Vec<C> x[V];
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) x[v] = load(b + v * L);
#pragma GCC unroll 12
    for (int r = 0; r < R; ++r) {
      const Vec<C> y = a.data[r * a.row];
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v) sums[r][v] += y * x[v];
    }
  }
#pragma GCC unroll 12
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) store(c + r * ldc + v * L, sums[r][v]);
  }
}

template <Into into, int R, int V, class C>
inline void product_rows(int64_t m, int64_t k, Left<C> a, const C* b, int64_t ldb, C* c,
                         int64_t ldc, const C* factors) {
  for (; m >= R; m -= R, a.data += R * a.row, c += R * ldc) {
    product_block<into, R, V>(k, a, b, ldb, c, ldc, factors);
  }
  if constexpr (R > 1) {
    if (m > 0) product_rows<into, (R > 4 ? 4 : R / 2), V>(m, k, a, b, ldb, c, ldc, factors);
  }
}

// n must be a multiple of the vector length; factors are read for Into::rescale only.
template <Into into, class C>
[[gnu::noinline]] void tile_product(int64_t m, int64_t n, int64_t k, Left<C> a, const C* b,
                                    int64_t ldb, C* c, int64_t ldc, const C* factors = nullptr) {
  int64_t x = 0;
  for (; x + kBlockColumns<C> <= n; x += kBlockColumns<C>) {
    product_rows<into, kBlockRows, kBlockVectors>(m, k, a, b + x, ldb, c + x, ldc, factors + x);
  }
  for (; x < n; x += Vec<C>::lanes) {
    product_rows<into, kBlockRows, 1>(m, k, a, b + x, ldb, c + x, ldc, factors + x);
  }
}

}  // namespace pyllm::PYLLM_ISA
