// exp and sigmoid in double with the bits of the CPU: the polynomial, constants and order of
// csrc/cpu/trees/portable_math.h, each operation rounded once.
#pragma once

#include "exact.cuh"

namespace pyllm::cuda {

PYLLM_DEVICE double exact_exp(double x) {
  x = x < -708.0 ? -708.0 : x;
  x = x > 709.0 ? 709.0 : x;
  const Exact shifted = Exact(x) * 1.4426950408889634 + 0x1.8p52;  // n in the low bits
  const Exact n = shifted - 0x1.8p52;
  Exact r = Exact(x) - n * 0x1.62e42fefa3800p-1;
  r = r - n * 0x1.ef35793c76730p-45;
  Exact p = 1.0 / 6227020800.0;
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
  const auto exponent = (static_cast<uint64_t>(dev::bits_of(shifted.v)) + 1023) << 52;
  return (p * dev::double_of(static_cast<int64_t>(exponent))).v;
}

PYLLM_DEVICE double exact_sigmoid(double x) {
  return (Exact(1.0) / (Exact(1.0) + exact_exp(-x))).v;
}

}  // namespace pyllm::cuda
