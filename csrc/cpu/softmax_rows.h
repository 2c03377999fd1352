// softmax of one row, contiguous.
//
// Rows that fit the caches are read once from memory: their maximum, their exponentials (into a
// buffer), their scaling. Longer ones would be read three times and written twice; they are read
// twice instead, block by block with a running maximum, and their exponentials computed twice.
#pragma once

#include <cmath>

#include "cpu/exp_sum.h"
#include "cpu/streaming.h"
#include "cpu/sums.h"
#include "cpu/vmath.h"

namespace pyllm::PYLLM_ISA {

constexpr int64_t kCachedRow = int64_t{256} << 10;  // bytes of a row that stay in a core's cache

// X: storage of the input, or its compute type where a mask has been added. exps: room for n
// values, may be y where the types agree. `next`: a row to fetch meanwhile.
template <class Put, class X, class T, class C = compute_t<T>>
void softmax_row(Put put, const X* x, const X* next, T* y, C* exps, int64_t n, C scale, bool log) {
  using V = Vec<C>;
  constexpr C kInf = std::numeric_limits<C>::infinity();
  const bool cached = n * static_cast<int64_t>(sizeof(C)) <= kCachedRow;
  const V binary = scale * C(kLog2E);
  ExpSum<C> sum{};
  if (cached) {
    sum.top = max_of(fold(x, n, 0, V(-kInf), Highest<C>{}));
  } else {
    sum = exp_sum(x, n, scale);
  }
  const V top = sum.top;
  // A row that is all -inf (all masked) has no distribution; NaN goes on to poison the row.
  if (sum.top == -kInf) {
    const T empty = narrow<T>(log ? -kInf : C(0));
    for (int64_t i = 0; i < n; ++i) y[i] = empty;
    return;
  }
  if (cached) {
    // The next row is fetched here if nothing is stored meanwhile, else while this one is written.
    sum.total = row_sums<C, 1>(n, [&](int64_t i, int count, V* t) {
      if (log) __builtin_prefetch(next + i);
      t[0] = exp2_nonpositive((load(x + i, count, -kInf) - top) * binary);
      if (!log) store(exps + i, t[0], count);
    })[0];
  }
  const V lse = std::log(sum.total), inverse = C(1) / sum.total;
  if (log) {
    write_vectors(put, y, n,
                  [&](int64_t i, int count) { return (load(x + i, count) - top) * scale - lse; });
  } else if (cached) {
    write_vectors(put, y, n, [&](int64_t i, int count) {
      __builtin_prefetch(next + i);
      return load(exps + i, count) * inverse;
    });
  } else {
    write_vectors(put, y, n, [&](int64_t i, int count) {
      return exp2_nonpositive((load(x + i, count) - top) * binary) * inverse;
    });
  }
}

// dx_i = s y_i (dy_i - sum_j dy_j y_j);  log: dx_i = s (dy_i - exp(y_i) sum_j dy_j).
template <class T>
struct SoftmaxGradientRow {
  const T *dy, *y;
  const T *next_dy, *next_y;  // to fetch meanwhile
  T* dx;
};

template <class Put, class T, class C = compute_t<T>>
void softmax_row_backward(Put put, const SoftmaxGradientRow<T>& row, int64_t n, C scale, bool log) {
  using V = Vec<C>;
  const V d = row_sums<C, 1>(n, [&](int64_t i, int count, V* t) {
    const V dy = load(row.dy + i, count);
    t[0] = log ? dy : dy * load(row.y + i, count);
  })[0];
  write_vectors(put, row.dx, n, [&](int64_t i, int count) {
    __builtin_prefetch(row.next_dy + i);
    __builtin_prefetch(row.next_y + i);
    const V dy = load(row.dy + i, count), y = load(row.y + i, count);
    return (log ? dy - exp(y) * d : y * (dy - d)) * scale;
  });
}

}  // namespace pyllm::PYLLM_ISA
