// Base-2 exponential for attention scores.
//
// Scores are kept times log2(e), folded into the scale of the queries, so that a probability is one
// exp2 away. exp2 serves arguments that are zero or below (give or take rounding), where a single
// factor 2^n suffices: results below 2^-126 are flushed to zero, -inf included; NaN stays.
#pragma once

#include "cpu/vmath.h"

namespace pyllm::PYLLM_ISA {

constexpr double kLog2E = 1.4426950408889634, kLn2 = 0.6931471805599453;

// 2^x = 2^n 2^r, n = round(x), |r| <= 1/2; 2^r by a minimax polynomial with relative error 9.2e-8.
inline Vec<float> exp2(Vec<float> x) {
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
inline Vec<double> exp2(Vec<double> x) {
  return per_lane(x, [](double a) { return std::exp2(a); });
}

}  // namespace pyllm::PYLLM_ISA
