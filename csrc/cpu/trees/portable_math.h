// exp, log and sigmoid in double with the same bits on every instruction set and thread count.
//
// How: plain multiplications, additions and divisions in a written order, each rounded once by
// IEEE 754, whatever the vector width. The sources of csrc/cpu/trees are compiled without
// contraction (cmake/kernels.cmake), so that no compiler fuses a product and a sum on the
// instruction sets that could; the C library is not called, since it picks its own code by the
// CPU. The functions have internal linkage: no object with other flags can stand in for them.
// Within 1 unit in the last place; written without branches so that loops over them vectorise.
#pragma once

#include <bit>
#include <cstdint>

namespace pyllm {
namespace {

// Below and above, exp is no normal number.
constexpr double kExpLowest = -708.0, kExpHighest = 709.0;

// exp(x) = 2^n exp(r), n = round(x / ln 2), |r| <= ln 2 / 2, exp(r) by its Taylor polynomial of
// degree 13 (remainder 4e-18). x is clamped to [kExpLowest, kExpHighest]; NaN stays NaN.
inline double portable_exp(double x) {
  x = x < kExpLowest ? kExpLowest : x;
  x = x > kExpHighest ? kExpHighest : x;
  const double shifted = x * 1.4426950408889634 + 0x1.8p52;  // n in the low bits
  const double n = shifted - 0x1.8p52;
  double r = x - n * 0x1.62e42fefa3800p-1;  // the first part of ln 2 has 11 zero bits: exact
  r = r - n * 0x1.ef35793c76730p-45;
  double p = 1.0 / 6227020800.0;
  p = p * r + 1.0 / 479001600.0;
  p = p * r + 1.0 / 39916800.0;
  p = p * r + 1.0 / 3628800.0;
  p = p * r + 1.0 / 362880.0;
  p = p * r + 1.0 / 40320.0;
  p = p * r + 1.0 / 5040.0;
  p = p * r + 1.0 / 720.0;
  p = p * r + 1.0 / 120.0;
  p = p * r + 1.0 / 24.0;
  p = p * r + 1.0 / 6.0;
  p = p * r + 0.5;
  p = p * r + 1.0;
  p = p * r + 1.0;
  const auto exponent = (std::bit_cast<uint64_t>(shifted) + 1023) << 52;
  return p * std::bit_cast<double>(exponent);
}

inline double portable_sigmoid(double x) {
  return 1.0 / (1.0 + portable_exp(-x));
}

// log(x) for normal x > 0: e ln 2 + 2 atanh(f), f = (m - 1) / (m + 1), m in [sqrt(1/2), sqrt(2)),
// atanh by its series to f^21.
inline double portable_log(double x) {
  const auto bits = std::bit_cast<int64_t>(x);
  const int64_t exponent = (bits - 0x3FE6A09E667F3BCD) >> 52;
  const double m = std::bit_cast<double>(bits - exponent * (int64_t{1} << 52));
  const double e = static_cast<double>(exponent);
  const double f = (m - 1.0) / (m + 1.0);
  const double z = f * f;
  double p = 1.0 / 21.0;
  p = p * z + 1.0 / 19.0;
  p = p * z + 1.0 / 17.0;
  p = p * z + 1.0 / 15.0;
  p = p * z + 1.0 / 13.0;
  p = p * z + 1.0 / 11.0;
  p = p * z + 1.0 / 9.0;
  p = p * z + 1.0 / 7.0;
  p = p * z + 1.0 / 5.0;
  p = p * z + 1.0 / 3.0;
  const double tail = 2.0 * f * (z * p) + e * 0x1.ef35793c76730p-45;
  return e * 0x1.62e42fefa3800p-1 + (2.0 * f + tail);
}

}  // namespace
}  // namespace pyllm
