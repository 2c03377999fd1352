// Sums along rows and down columns, in an order that no thread count changes.
#pragma once

#include <algorithm>
#include <array>

#include "core/array.h"
#include "core/parallel.h"
#include "core/scratch.h"
#include "cpu/simd.h"

namespace pyllm::PYLLM_ISA {

// K sums at once over the n elements of a row: step(i, count, terms) gives the vector terms[K] at
// i. Each sum runs in four chains, so that the latency of additions does not bound it.
template <class C, size_t K, class F>
std::array<C, K> row_sums(int64_t n, F&& step) {
  constexpr int64_t L = Vec<C>::lanes;
  constexpr int kChains = 4;
  Vec<C> chain[kChains][K];
  for (auto& sums : chain) {
    for (auto& s : sums) s = C(0);
  }
  int64_t i = 0;
  for (; i + kChains * L <= n; i += kChains * L) {
    for (int c = 0; c < kChains; ++c) {
      Vec<C> terms[K];
      step(i + c * L, static_cast<int>(L), terms);
      for (size_t k = 0; k < K; ++k) chain[c][k] += terms[k];
    }
  }
  for (; i < n; i += L) {
    Vec<C> terms[K];
    step(i, lanes_left<C>(n - i), terms);
    for (size_t k = 0; k < K; ++k) chain[0][k] += terms[k];
  }
  std::array<C, K> total;
  for (size_t k = 0; k < K; ++k) {
    total[k] = sum((chain[0][k] + chain[1][k]) + (chain[2][k] + chain[3][k]));
  }
  return total;
}

// Sums of `width` columns over `rows` rows into totals[width]. body(begin, end, partial) adds its
// rows to partial[width]. Rows are cut into chunks by the shape alone, and the chunks' partial
// sums are added in order, whoever computed them.
template <class C, class F>
void column_sums(int64_t rows, int64_t width, C* totals, F&& body) {
  std::fill(totals, totals + width, C(0));
  if (rows == 0) return;
  const int64_t chunk = std::max<int64_t>((rows + 63) / 64, 32768 / (width + 1) + 1);
  const int64_t chunks = (rows + chunk - 1) / chunk;
  if (chunks == 1) {
    body(int64_t{0}, rows, totals);
    return;
  }
  const Scratch<C> partials(static_cast<size_t>(chunks * width));
  parallel_for(chunks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; ++c) {
      C* partial = partials.data() + c * width;
      std::fill(partial, partial + width, C(0));
      body(c * chunk, std::min(rows, (c + 1) * chunk), partial);
    }
  });
  for (int64_t c = 0; c < chunks; ++c) {
    const C* partial = partials.data() + c * width;
    for (int64_t i = 0; i < width; ++i) totals[i] += partial[i];
  }
}

// Rounds totals to a vector of any floating dtype and stride.
template <class C>
void write_vector(const C* totals, const Array& out) {
  with_float_type(out.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    for (int64_t i = 0; i < out.shape[0]; ++i) {
      out.as<T>()[i * out.strides[0]] = narrow<T>(static_cast<compute_t<T>>(totals[i]));
    }
  });
}

}  // namespace pyllm::PYLLM_ISA
