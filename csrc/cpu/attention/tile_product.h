// Matrix products on tiles that already lie in cache, on one thread: c = a b, or added to c.
//
// c is m x n, a is m x k, b is k x n with rows of whole vectors. A block of kBlockRows x
// kBlockVectors accumulators stays in registers over the whole of k; each step broadcasts one
// element of a per row and multiplies it into the vectors of b. a's rows lie `row_stride` apart (a
// constant, so that every row is an offset of one pointer), its columns a_step. No packing here:
// the tiles are laid out for this kernel when they are copied out of the caller's arrays.
#pragma once

#include "cpu/simd.h"

namespace pyllm::PYLLM_ISA {

#if defined(__AVX512F__)
constexpr int kBlockRows = 12, kBlockVectors = 2;  // 24 of 32 registers accumulate
#else
constexpr int kBlockRows = 6, kBlockVectors = 2;  // 12 of 16
#endif

// Columns of a panel: the queries that one tile of scores holds.
template <class C>
constexpr int kPanel = kBlockVectors * Vec<C>::lanes;

enum class Into {
  overwrite,  // c = a b
  add,        // c += a b
  rescale,    // c = c * factors (one a column) + a b
};

template <class C>
struct TileProduct {
  int64_t m, n, k;
  const C* a;
  int64_t a_step;
  const C* b;
  int64_t ldb;
  C* c;
  int64_t ldc;
  const C* factors = nullptr;
};

template <Into into, int row_stride, int R, int V, class C>
inline void product_block(const TileProduct<C>& p, int64_t row, int64_t column) {
  constexpr int L = Vec<C>::lanes;
  Vec<C> sums[R][V];
  C* c = p.c + row * p.ldc + column;
#pragma GCC unroll 12
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) {
      if constexpr (into == Into::overwrite) {
        sums[r][v] = C(0);
      } else if constexpr (into == Into::add) {
        sums[r][v] = load(c + r * p.ldc + v * L);
      } else {
        sums[r][v] = load(c + r * p.ldc + v * L) * load(p.factors + column + v * L);
      }
    }
  }
  const C* a = p.a + row * row_stride;
  const C* b = p.b + column;
  for (int64_t i = 0; i < p.k; ++i, a += p.a_step, b += p.ldb) {
    Vec<C> x[V];
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) x[v] = load(b + v * L);
#pragma GCC unroll 12
    for (int r = 0; r < R; ++r) {
      const Vec<C> y = a[r * row_stride];
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v) sums[r][v] += y * x[v];
    }
  }
#pragma GCC unroll 12
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) store(c + r * p.ldc + v * L, sums[r][v]);
  }
}

template <Into into, int row_stride, int R, int V, class C>
inline void product_rows(const TileProduct<C>& p, int64_t row, int64_t column) {
  for (; row + R <= p.m; row += R) product_block<into, row_stride, R, V>(p, row, column);
  if constexpr (R > 1) {
    if (row < p.m) product_rows<into, row_stride, (R > 4 ? 4 : R / 2), V>(p, row, column);
  }
}

// n must be a multiple of the vector length.
template <Into into, int row_stride, class C>
void tile_product(const TileProduct<C>& p) {
  int64_t column = 0;
  for (; column + kPanel<C> <= p.n; column += kPanel<C>) {
    product_rows<into, row_stride, kBlockRows, kBlockVectors>(p, 0, column);
  }
  for (; column < p.n; column += Vec<C>::lanes) {
    product_rows<into, row_stride, kBlockRows, 1>(p, 0, column);
  }
}

}  // namespace pyllm::PYLLM_ISA
