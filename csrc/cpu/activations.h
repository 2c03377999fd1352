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

// 1 / (1 + 2^-z): the sigmoid of z / log2(e), whose factor the caller folds into its own.
template <class C>
Vec<C> sigmoid_base_2(Vec<C> z) {
  return Vec<C>(C(1)) / (exp2(-z) + C(1));
}
template <class C>
Vec<C> sigmoid(Vec<C> x) {
  return sigmoid_base_2<C>(x * C(kLog2E));
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
    constexpr C factor = kTwoSqrt2OverPi<C> * C(kLog2E);
    return x * sigmoid_base_2<C>((x * x * (kGeluCubic<C> * factor) + factor) * x);
  }
  if constexpr (kind == Activation::silu) return x * sigmoid<C>(x);
  if constexpr (kind == Activation::none) return x;
}

template <class C>
struct Normal {
  Vec<C> below, bell;  // Phi(x), exp(-x^2 / 2)
};

// Phi(-|x|) = exp(-x^2 / 2) P(|x|), P minimax on [0, 6] for an absolute error of 6.6e-8 (a unit in
// the last place of Phi): both from one exponential and without a division, where erf would want
// one of either. Never subnormal: such gradients would slow the products that follow a hundredfold.
inline Normal<float> normal_distribution(Vec<float> x) {
  const Vec<float> a = min(abs(x), Vec<float>(14.0f));  // the bell is 0 from there on
  Vec<float> p = 1.63167274e-6f;
  p = p * a - 3.52075766e-5f;
  p = p * a + 3.39737537e-4f;
  p = p * a - 1.97462592e-3f;
  p = p * a + 7.93939183e-3f;
  p = p * a - 2.4313938e-2f;
  p = p * a + 6.11548978e-2f;
  p = p * a - 1.32513805e-1f;
  p = p * a + 2.49916795e-1f;
  p = p * a - 3.98936515e-1f;
  p = p * a + 4.99999934e-1f;
  const Vec<float> bell = exp2_nonpositive(x * x * float(-0.5 * kLog2E));
  const Vec<float> tail = bell * p;
  return {select<float>(x < Vec<float>(0.0f), tail, Vec<float>(1.0f) - tail), bell};
}
inline Normal<double> normal_distribution(Vec<double> x) {
  return {(erf(x * 0.7071067811865476) + 1.0) * 0.5, exp(x * x * -0.5)};
}

template <class C>
struct ActivationAndSlope {
  Vec<C> value, slope;
};

// The activation and its derivative at x.
template <Activation kind, class C>
ActivationAndSlope<C> activation_and_slope(Vec<C> x) {
  const Vec<C> zero = C(0), one = C(1);
  if constexpr (kind == Activation::relu) {
    return {max(x, zero), select<C>(x > zero, one, zero)};
  } else if constexpr (kind == Activation::gelu) {
    const auto [below, bell] = normal_distribution(x);
    return {x * below, below + x * bell * C(0.3989422804014327)};
  } else if constexpr (kind == Activation::gelu_tanh) {
    const Vec<C> square = x * x;
    constexpr C factor = kTwoSqrt2OverPi<C> * C(kLog2E);
    const Vec<C> s = sigmoid_base_2<C>((square * (kGeluCubic<C> * factor) + factor) * x);
    const Vec<C> inner = (square * (3 * kGeluCubic<C>)+one) * kTwoSqrt2OverPi<C>;
    return {x * s, s + x * s * (one - s) * inner};
  } else if constexpr (kind == Activation::silu) {
    const Vec<C> s = sigmoid<C>(x);
    return {x * s, s + x * s * (one - s)};
  } else {
    return {x, one};
  }
}

template <Activation kind, class C>
Vec<C> activation_slope(Vec<C> x) {
  return activation_and_slope<kind, C>(x).slope;
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
