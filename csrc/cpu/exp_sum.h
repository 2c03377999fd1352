// Maximum and sum of exponentials of a row that is read from memory once.
#pragma once

#include <cmath>

#include "cpu/simd.h"
#include "cpu/vmath.h"

namespace pyllm::PYLLM_ISA {

// Folds f over the vectors of x, four independent chains at a time, while the memory `ahead`
// elements further on is fetched; the last, partial vector is filled up with -inf.
template <class T, class C, class F>
Vec<C> fold(const T* x, int64_t n, int64_t ahead, Vec<C> start, F f) {
  using V = Vec<C>;
  V a = start, b = start, c = start, d = start;
  int64_t i = 0;
  for (; i + 4 * V::lanes <= n; i += 4 * V::lanes) {
    a = f(a, load(x + i));
    b = f(b, load(x + i + V::lanes));
    c = f(c, load(x + i + 2 * V::lanes));
    d = f(d, load(x + i + 3 * V::lanes));
    for (int64_t line = 0; ahead > 0 && line < 4 * V::lanes; line += int64_t(64 / sizeof(T))) {
      __builtin_prefetch(x + i + ahead + line);
    }
  }
  for (; i < n; i += V::lanes) {
    a = f(a, load(x + i, lanes_left<C>(n - i), -std::numeric_limits<C>::infinity()));
  }
  return f.join(f.join(a, b), f.join(c, d));
}

template <class C>
struct Highest {
  Vec<C> operator()(Vec<C> high, Vec<C> x) const { return max(x, high); }
  Vec<C> join(Vec<C> a, Vec<C> b) const { return max(a, b); }
};
template <class C>
struct SumOfExps {
  Vec<C> top, binary;  // the scale times log2(e)
  Vec<C> operator()(Vec<C> total, Vec<C> x) const {
    return total + exp2_nonpositive((x - top) * binary);
  }
  Vec<C> join(Vec<C> a, Vec<C> b) const { return a + b; }
};

// top = max_i x_i, total = sum_i exp(scale (x_i - top)); of nothing but -inf: -inf and 0. The
// difference first: it is exact at the top, whatever its size.
template <class C>
struct ExpSum {
  C top, total;
};

// Block by block; each block is fetched during the arithmetic of the one before. The sum so far is
// rescaled when the maximum moves. NaN shows up in the sum, whatever the maximum made of it.
template <class T, class C = compute_t<T>>
ExpSum<C> exp_sum(const T* x, int64_t n, C scale) {
  constexpr C kInf = std::numeric_limits<C>::infinity();
  constexpr int64_t kBlock = 2048;
  C highest = -kInf, total = 0;
  for (int64_t begin = 0; begin < n; begin += kBlock) {
    const int64_t length = begin + kBlock < n ? kBlock : n - begin;
    const C top = max_of(fold(x + begin, length, 0, Vec<C>(-kInf), Highest<C>{}));
    if (top == -kInf) continue;
    if (!(top <= highest)) {
      total *= highest == -kInf ? C(0) : std::exp((highest - top) * scale);
      highest = top;
    }
    const SumOfExps<C> exps{highest, scale * C(kLog2E)};
    total += sum(fold(x + begin, length, kBlock, Vec<C>(C(0)), exps));
  }
  return {highest, total};
}

}  // namespace pyllm::PYLLM_ISA
