// Dropout of n contiguous elements. The gradient is the same call on dy, without residual:
// nothing is saved.
#pragma once

#include <cstdint>

// y_i = 0 if word i of the stream is below `threshold` (probability threshold / 2^32), else
// x_i * scale; plus residual_i. y may be x or residual.
struct Dropout {
  const void* x;
  const void* residual;  // or null
  void* y;
  int64_t n;
  uint64_t seed, stream;
  int64_t threshold;  // 0 to 2^32 - 1
  float scale;
  int32_t dtype;
};
