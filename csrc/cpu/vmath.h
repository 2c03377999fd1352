// Elementary functions on Vec<float> and Vec<double>.
//
// float: range reduction and minimax polynomials, good to about 2 units in the last place over the
// whole range, subnormals, infinities and NaN included (exp2: normal numbers). double (gradient
// checks only): the C library, lane by lane.
#pragma once

#include "cpu/simd.h"

namespace pyllm::PYLLM_ISA {

template <class F>
Vec<double> per_lane(Vec<double> x, F f) {
  for (int i = 0; i < Vec<double>::lanes; ++i) x.v[i] = f(x.v[i]);
  return x;
}

inline Vec<float> from_bits(Vec<float>::Mask bits) {
  return (Vec<float>::Native)bits;
}
inline Vec<float>::Mask to_bits(Vec<float> x) {
  return (Vec<float>::Mask)x.v;
}

// exp(x) = 2^n * exp(r), n = round(x / ln 2), |r| <= ln 2 / 2; exp(r) by its Taylor-like minimax
// polynomial of degree 6. 2^n is applied in two factors so that subnormal results round once.
inline Vec<float> exp(Vec<float> x) {
  x = min(max(x, Vec<float>(-104.0f)), Vec<float>(89.0f));
  const Vec<float> shifted = x * 1.44269504f + 12582912.0f;  // rounds to integer in the low bits
  const Vec<float> n = shifted - 12582912.0f;
  Vec<float> r = x - n * 0.693359375f;
  r = r - n * -2.12194440e-4f;
  Vec<float> p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  const Vec<float>::Mask exponent = to_bits(shifted) - 0x4B400000;
  const Vec<float>::Mask half = exponent >> 1;
  return p * from_bits((half + 127) << 23) * from_bits((exponent - half + 127) << 23);
}
inline Vec<double> exp(Vec<double> x) {
  return per_lane(x, [](double a) { return std::exp(a); });
}

constexpr double kLog2E = 1.4426950408889634, kLn2 = 0.6931471805599453;

// 2^x for x <= 0 (give or take rounding), the cheapest exponential there is: scores and exponents
// come times log2(e) from a factor that they are scaled by anyway, and one factor 2^n suffices.
// 2^n 2^r, n = round(x), |r| <= 1/2; 2^r by a minimax polynomial with relative error 9.2e-8.
// Results below 2^-126 are flushed to zero, -inf included; NaN stays.
inline Vec<float> exp2_nonpositive(Vec<float> x) {
  x = max(x, Vec<float>(-127.0f));             // n = -127 makes the factor 0
  const Vec<float> shifted = x + 12583039.0f;  // 1.5 * 2^23 + 127: n + 127 in the low bits
  const Vec<float> r = x - (shifted - 12583039.0f);
  Vec<float> p = 1.3264728e-3f;
  p = p * r + 9.6715130e-3f;
  p = p * r + 5.5507336e-2f;
  p = p * r + 2.4022242e-1f;
  p = p * r + 6.9314700e-1f;
  p = p * r + 1.0f;
  return p * from_bits(to_bits(shifted) << 23);
}
inline Vec<double> exp2_nonpositive(Vec<double> x) {
  return per_lane(x, [](double a) { return std::exp2(a); });
}

// 2^x for any x: inf from 127.5 on, where the factor's exponent is that of inf.
inline Vec<float> exp2(Vec<float> x) {
  return exp2_nonpositive(min(x, Vec<float>(128.0f)));
}
inline Vec<double> exp2(Vec<double> x) {
  return exp2_nonpositive(x);
}

// log(x) = e * ln 2 + log(m), m in [sqrt(1/2), sqrt(2)) (Cephes' polynomial).
inline Vec<float> log(Vec<float> x) {
  const auto subnormal = x < Vec<float>(1.17549435e-38f);
  const Vec<float> scaled = select<float>(subnormal, x * 0x1p23f, x);
  const auto bits = to_bits(scaled);
  const Vec<float>::Mask exponent = (bits - 0x3F3504F3) >> 23;
  const Vec<float> m = from_bits(bits - (exponent << 23)) - 1.0f;
  Vec<float> e = __builtin_convertvector(exponent, Vec<float>::Native);
  e = e - select<float>(subnormal, Vec<float>(23.0f), Vec<float>(0.0f));
  const Vec<float> z = m * m;
  Vec<float> p = 7.0376836292e-2f;
  p = p * m - 1.1514610310e-1f;
  p = p * m + 1.1676998740e-1f;
  p = p * m - 1.2420140846e-1f;
  p = p * m + 1.4249322787e-1f;
  p = p * m - 1.6668057665e-1f;
  p = p * m + 2.0000714765e-1f;
  p = p * m - 2.4999993993e-1f;
  p = p * m + 3.3333331174e-1f;
  Vec<float> y = p * m * z + e * -2.12194440e-4f - z * 0.5f;
  y = m + y + e * 0.693359375f;
  const float inf = std::numeric_limits<float>::infinity();
  y = select<float>(x == Vec<float>(inf), Vec<float>(inf), y);
  y = select<float>(x == Vec<float>(0.0f), Vec<float>(-inf), y);
  return select<float>(x >= Vec<float>(0.0f), y,
                       Vec<float>(std::numeric_limits<float>::quiet_NaN()));
}
inline Vec<double> log(Vec<double> x) {
  return per_lane(x, [](double a) { return std::log(a); });
}

// tanh(x) = x + x^3 P(x^2) near 0 (Cephes' polynomial), else sign(x) (1 - 2 / (exp(2 |x|) + 1)).
inline Vec<float> tanh(Vec<float> x) {
  const Vec<float> a = abs(x), z = x * x;
  Vec<float> p = -5.70498872745e-3f;
  p = p * z + 2.06390887954e-2f;
  p = p * z - 5.37397155531e-2f;
  p = p * z + 1.33314422036e-1f;
  p = p * z - 3.33332819422e-1f;
  const Vec<float> near = p * z * x + x;
  const Vec<float> far = Vec<float>(1.0f) - Vec<float>(2.0f) / (exp(a + a) + 1.0f);
  return select<float>(a < Vec<float>(0.625f), near,
                       select<float>(x < Vec<float>(0.0f), -far, far));
}
inline Vec<double> tanh(Vec<double> x) {
  return per_lane(x, [](double a) { return std::tanh(a); });
}

}  // namespace pyllm::PYLLM_ISA
