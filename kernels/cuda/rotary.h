// Rotary position embedding (Su et al., RoFormer, 2021) of x (batch, seq, heads, dim), whose last
// axis is contiguous. The gradient is the same call with `inverse`: the opposite rotation.
#pragma once

#include <cstdint>

// Pairs of features (i, i + half), or (2 i, 2 i + 1) where interleaved, turn by the angle whose
// cosine and sine stand in row `position` of the tables; features past 2 half are copied. A
// position outside [0, length) turns its pairs into NaN. y may be x.
struct Rotary {
  const void* x;
  void* y;
  const void* cos;  // (length, half), rows table_row_stride apart; float32 or x's type
  const void* sin;
  const void* positions;  // (batch, seq), or null for 0, 1, ...
  int64_t batch, seq, heads, dim, half, length;
  int64_t x_batch_stride, x_seq_stride, x_head_stride;
  int64_t y_batch_stride, y_seq_stride, y_head_stride;
  int64_t table_row_stride;
  int64_t position_batch_stride, position_seq_stride;
  int32_t interleaved, inverse;
  int32_t dtype, table_dtype, position_dtype;
};
