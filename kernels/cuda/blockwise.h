// Whole 8-bit states at once: n float32 values to codes (n,) and scales (ceil(n / 256),), and back.
// What the codes mean: blockwise_codes.cuh.
#pragma once

#include <cstdint>

struct BlockwiseQuantize {
  const float* x;
  uint8_t* codes;
  float* scale;
  int64_t n;
  int32_t is_signed;  // 0: no element is below 0
};

struct BlockwiseDequantize {
  const uint8_t* codes;
  const float* scale;
  float* x;
  int64_t n;
  int32_t is_signed;
};
