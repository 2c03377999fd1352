#pragma once

#include <cstdint>

// a, b, tiles: 16-bit patterns; dtype: kFloat16 or kBFloat16.
struct FragmentArgs {
  const float* a;  // 32 lanes x 8 values, as the lane's registers hold them
  const float* b;  // 32 x 4
  float* d;        // 32 x 4
  int32_t dtype;
};
struct TileArgs {
  const float* tiles;  // four 8 x 8 tiles of 16 bits, two in a float's room
  float* registers;    // 32 lanes x 4 words
  int32_t transpose;
};
