// Dropout of n contiguous elements. The gradient is the same call on dy: nothing is saved.
#pragma once

#include <cstdint>

// y_i = 0 if word i of the stream is below `threshold` (probability threshold / 2^32), else
// x_i * scale. y may be x.
struct Dropout {
  const void* x;
  void* y;
  int64_t n;
  uint64_t seed, stream;
  int64_t threshold;  // 0 to 2^32 - 1
  float scale;
  int32_t dtype;
};
