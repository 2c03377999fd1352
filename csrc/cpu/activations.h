// The activations of linear layers and their derivatives, on Vec<float> and Vec<double>.
//
//   relu       max(x, 0)
//   gelu       x Phi(x), Phi the standard normal distribution            (Hendrycks & Gimpel 2016)
//   gelu_tanh  x sigmoid(2 u), u = sqrt(2 / pi) (x + 0.044715 x^3)
//   silu       x sigmoid(x)
#pragma once

#include "cpu/simd.h"
#include "cpu/vmath.h"

namespace pyllm {

enum class Activation { none, relu, gelu, gelu_tanh, silu };

}  // namespace pyllm

namespace pyllm::PYLLM_ISA {

// erf(x) = x P(x^2) / Q(x^2) on [-4, 4], where it reaches 1 to float's last place.
inline Vec<float> erf(Vec<float> x) {
  x = min(max(x, Vec<float>(-4.0f)), Vec<float>(4.0f));
  const Vec<float> z = x * x;
  Vec<float> p = -2.72614225801306e-10f;
  p = p * z + 2.77068142495902e-08f;
  p = p * z + -2.10102402082508e-06f;
  p = p * z + -5.69250639462346e-05f;
  p = p * z + -7.34990630326855e-04f;
  p = p * z + -2.95459980854025e-03f;
  p = p * z + -1.60960333262415e-02f;
  Vec<float> q = -1.45660718464996e-05f;
  q = q * z + -2.13374055278905e-04f;
  q = q * z + -1.68282697438203e-03f;
  q = q * z + -7.37332916720468e-03f;
  q = q * z + -1.42647390514189e-02f;
  return x * p / q;
}
inline Vec<double> erf(Vec<double> x) {
  return per_lane(x, [](double a) { return std::erf(a); });
}

template <class C>
Vec<C> sigmoid(Vec<C> x) {
  return Vec<C>(C(1)) / (exp(-x) + C(1));
}

template <class C>
constexpr C kGeluCubic = C(0.044715);
template <class C>
constexpr C kTwoSqrt2OverPi = C(1.5957691216057308);  // 2 sqrt(2 / pi)

template <Activation kind, class C>
Vec<C> activate(Vec<C> x) {
  if constexpr (kind == Activation::relu) return max(x, Vec<C>(C(0)));
  if constexpr (kind == Activation::gelu)
    return x * ((erf(x * C(0.7071067811865476)) + C(1)) * C(0.5));
  if constexpr (kind == Activation::gelu_tanh) {
    return x * sigmoid<C>((x * x * kGeluCubic<C> + C(1)) * x * kTwoSqrt2OverPi<C>);
  }
  if constexpr (kind == Activation::silu) return x * sigmoid<C>(x);
  if constexpr (kind == Activation::none) return x;
}

// The derivative at x.
template <Activation kind, class C>
Vec<C> activation_slope(Vec<C> x) {
  const Vec<C> one = C(1);
  if constexpr (kind == Activation::relu) return select<C>(x > Vec<C>(C(0)), one, Vec<C>(C(0)));
  if constexpr (kind == Activation::gelu) {
    // Never subnormal: such gradients would slow the products that follow a hundredfold.
    const Vec<C> density = exp_nonpositive(x * x * C(-0.5)) * C(0.3989422804014327);
    return (erf(x * C(0.7071067811865476)) + one) * C(0.5) + x * density;
  }
  if constexpr (kind == Activation::gelu_tanh) {
    const Vec<C> square = x * x;
    const Vec<C> s = sigmoid<C>((square * kGeluCubic<C> + one) * x * kTwoSqrt2OverPi<C>);
    const Vec<C> inner = (square * (3 * kGeluCubic<C>)+one) * kTwoSqrt2OverPi<C>;
    return s + x * s * (one - s) * inner;
  }
  if constexpr (kind == Activation::silu) {
    const Vec<C> s = sigmoid<C>(x);
    return s + x * s * (one - s);
  }
  if constexpr (kind == Activation::none) return one;
}

template <Activation kind>
struct ActivationTag {
  static constexpr Activation value = kind;
};

// Calls f(ActivationTag<kind>{}).
template <class F>
decltype(auto) with_activation(Activation kind, F&& f) {
  switch (kind) {
    case Activation::relu:
      return f(ActivationTag<Activation::relu>{});
    case Activation::gelu:
      return f(ActivationTag<Activation::gelu>{});
    case Activation::gelu_tanh:
      return f(ActivationTag<Activation::gelu_tanh>{});
    case Activation::silu:
      return f(ActivationTag<Activation::silu>{});
    case Activation::none:
      break;
  }
  return f(ActivationTag<Activation::none>{});
}

}  // namespace pyllm::PYLLM_ISA
