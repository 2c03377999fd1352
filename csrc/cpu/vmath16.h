// Elementary functions whose results are rounded to 16 bits: about half the work of vmath.h's.
//
// bfloat16 and float16 keep 8 and 11 bits. A relative error of 2^-20 before the one rounding is
// enough that it shows in one result of hundreds, by one unit in the last place. Infinities, NaN,
// overflow and subnormals come out as they do in vmath.h.
#pragma once

#include "cpu/vmath.h"

namespace pyllm::PYLLM_ISA {

// p 2^n for a normal p and a whole n in [-252, 254]; a subnormal result is rounded once.
inline Vec<float> times_power_of_two(Vec<float> p, Vec<float> n) {
#if defined(__AVX512F__)
  return _mm512_scalef_ps(p.v, n.v);
#else
  const Vec<float>::Mask exponent = __builtin_convertvector(n.v, Vec<float>::Mask);
  const Vec<float>::Mask half = exponent >> 1;  // 2^n itself may be no normal number
  return p * from_bits((half + 127) << 23) * from_bits((exponent - half + 127) << 23);
#endif
}

// 2^t = 2^n 2^r, n = floor(t), r in [0, 1); 2^r by a minimax polynomial, relative error 2^-23.5.
inline Vec<float> exp2_16(Vec<float> t) {
#if defined(__AVX512F__)
  const Vec<float> n = t;                                             // scalef floors it
  const Vec<float> r = _mm512_reduce_ps(t.v, _MM_FROUND_TO_NEG_INF);  // 0 where t is infinite
#else
  t = min(max(t, Vec<float>(-151.0f)), Vec<float>(129.0f));
  const Vec<float> n = (t - 0.5f) + 12582912.0f - 12582912.0f;
  const Vec<float> r = t - n;
#endif
  Vec<float> p = 1.86713005e-3f;
  p = p * r + 9.01703071e-3f;
  p = p * r + 5.57999127e-2f;
  p = p * r + 2.40164444e-1f;
  p = p * r + 6.93151295e-1f;
  p = p * r + 1.0f;
  return times_power_of_two(p, n);
}

inline Vec<float> exp_16(Vec<float> x) {
  return exp2_16(x * 1.44269504f);
}

// log(x) = (e + 1) ln 2 + log(1 + m), 1 + m in [3/4, 3/2); log(1 + m) / m by a minimax polynomial,
// relative error 2^-22. x is of 16 bits itself, so 2/3 x is on the right side of a power of two.
inline Vec<float> log_16(Vec<float> x) {
#if defined(__AVX512F__)
  const Vec<float> e = _mm512_getexp_ps((x * 0.666666687f).v);
  const Vec<float> one_m = _mm512_getmant_ps(x.v, _MM_MANT_NORM_p75_1p5, _MM_MANT_SIGN_nan);
#else
  const auto subnormal = x < Vec<float>(1.17549435e-38f);
  const auto bits = to_bits(select<float>(subnormal, x * 0x1p23f, x));
  const Vec<float>::Mask exponent = (bits - 0x3F400000) >> 23;
  const Vec<float> one_m = from_bits(bits - (exponent << 23));
  const Vec<float> e = Vec<float>(__builtin_convertvector(exponent, Vec<float>::Native)) -
                       select<float>(subnormal, Vec<float>(24.0f), Vec<float>(1.0f));
#endif
  const Vec<float> m = one_m - 1.0f;
  Vec<float> p = -6.72037303e-2f;
  p = p * m + 1.41536191e-1f;
  p = p * m - 1.73371300e-1f;
  p = p * m + 2.00953424e-1f;
  p = p * m - 2.49792695e-1f;
  p = p * m + 3.33307058e-1f;
  p = p * m - 5.00001669e-1f;
  p = p * m + 1.0f;
  const Vec<float> y = p * m + (e * 6.93147181e-1f + 6.93147181e-1f);
#if defined(__AVX512F__)
  return y;  // e is infinite where x is 0 or inf, one_m NaN where x is negative
#else
  const float inf = std::numeric_limits<float>::infinity();
  const Vec<float> nan = std::numeric_limits<float>::quiet_NaN();
  return select<float>(x > Vec<float>(0.0f),
                       select<float>(x == Vec<float>(inf), Vec<float>(inf), y),
                       select<float>(x == Vec<float>(0.0f), Vec<float>(-inf), nan));
#endif
}

// 1 / (1 + exp(-x)) for x >= 0, exp(x) / (1 + exp(x)) below: nothing overflows.
inline Vec<float> sigmoid_16(Vec<float> x) {
  const Vec<float> e = exp2_16(abs(x) * -1.44269504f), one = 1.0f;
  return select<float>(x >= Vec<float>(0.0f), one, e) / (one + e);
}

// x + x^3 P(x^2) near 0, P minimax with relative error 2^-20.5, else
// sign(x) (1 - 2 / (exp(2 |x|) + 1)).
inline Vec<float> tanh_16(Vec<float> x) {
  const Vec<float> a = abs(x), z = x * x;
  Vec<float> p = -4.47506420e-2f;
  p = p * z + 1.32053599e-1f;
  p = p * z - 3.33281606e-1f;
  const Vec<float> near = p * z * x + x;
  const Vec<float> far = Vec<float>(1.0f) - Vec<float>(2.0f) / (exp2_16(a * 2.88539008f) + 1.0f);
  return select<float>(a < Vec<float>(0.5f), near, select<float>(x < Vec<float>(0.0f), -far, far));
}

}  // namespace pyllm::PYLLM_ISA
