// The arrays are walked as one run of elements where their layouts allow it; each element is read
// and written once. 16-bit storage computes in float32, as exactly as 16 bits can show, and is
// rounded once.
//
//   sigmoid  e = exp(-|x|), which cannot overflow: 1 / (1 + e) for x >= 0, e / (1 + e) below
#include "cpu/pointwise.h"

#include "cpu/elementwise.h"
#include "cpu/vmath.h"
#include "cpu/vmath16.h"

namespace pyllm::PYLLM_ISA {
namespace {

template <class C>
Vec<C> sigmoid_of(Vec<C> x) {
  const Vec<C> e = exp(-abs(x)), one = C(1);
  const Vec<C> y = select<C>(x >= Vec<C>(C(0)), one, e) / (one + e);
  return select<C>(x == x, y, x);
}

template <Unary op, class T, class C = compute_t<T>>
Vec<C> apply(Vec<C> x) {
  if constexpr (sizeof(T) == 2) {
    if constexpr (op == Unary::exp) return exp_16(x);
    if constexpr (op == Unary::log) return log_16(x);
    if constexpr (op == Unary::tanh) return tanh_16(x);
    if constexpr (op == Unary::sigmoid) return sigmoid_16(x);
  }
  if constexpr (op == Unary::negative) return -x;
  if constexpr (op == Unary::absolute) return abs(x);
  if constexpr (op == Unary::sqrt) return sqrt(x);
  if constexpr (op == Unary::exp) return exp(x);
  if constexpr (op == Unary::log) return log(x);
  if constexpr (op == Unary::tanh) return tanh(x);
  if constexpr (op == Unary::sigmoid) return sigmoid_of(x);
}

template <Binary op, class C>
Vec<C> apply(Vec<C> a, Vec<C> b) {
  if constexpr (op == Binary::add) return a + b;
  if constexpr (op == Binary::subtract) return a - b;
  if constexpr (op == Binary::multiply) return a * b;
  if constexpr (op == Binary::divide) return a / b;
  if constexpr (op == Binary::maximum) return select<C>(b == b, max(a, b), b);
  if constexpr (op == Binary::minimum) return select<C>(b == b, min(a, b), b);
}

template <class T, Unary op>
void unary(const UnaryArgs& a) {
  elementwise<T, 1, 1>({a.x}, {a.y}, [](auto in, auto out, int64_t, int64_t n, auto put) {
    write_vectors(put, out[0], n,
                  [&](int64_t i, int count) { return apply<op, T>(load(in[0] + i, count)); });
  });
}

template <class T, Binary op>
void binary(const BinaryArgs& a) {
  using C = compute_t<T>;
  elementwise<T, 2, 1>({a.a, a.b}, {a.y}, [](auto in, auto out, int64_t, int64_t n, auto put) {
    write_vectors(put, out[0], n, [&](int64_t i, int count) {
      return apply<op, C>(load(in[0] + i, count), load(in[1] + i, count));
    });
  });
}

}  // namespace

void pointwise_unary(const UnaryArgs& a) {
  with_float_type(a.x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    switch (a.op) {
      case Unary::negative:
        return unary<T, Unary::negative>(a);
      case Unary::absolute:
        return unary<T, Unary::absolute>(a);
      case Unary::sqrt:
        return unary<T, Unary::sqrt>(a);
      case Unary::exp:
        return unary<T, Unary::exp>(a);
      case Unary::log:
        return unary<T, Unary::log>(a);
      case Unary::tanh:
        return unary<T, Unary::tanh>(a);
      case Unary::sigmoid:
        return unary<T, Unary::sigmoid>(a);
    }
  });
}

void pointwise_binary(const BinaryArgs& a) {
  with_float_type(a.y.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    switch (a.op) {
      case Binary::add:
        return binary<T, Binary::add>(a);
      case Binary::subtract:
        return binary<T, Binary::subtract>(a);
      case Binary::multiply:
        return binary<T, Binary::multiply>(a);
      case Binary::divide:
        return binary<T, Binary::divide>(a);
      case Binary::maximum:
        return binary<T, Binary::maximum>(a);
      case Binary::minimum:
        return binary<T, Binary::minimum>(a);
    }
  });
}

}  // namespace pyllm::PYLLM_ISA
