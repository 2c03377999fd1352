// Rows of a table by number, and the scatter-add that is its gradient. The table is (entries,
// width), contiguous; ids (rows,) are int32 or int64.
#pragma once

#include <cstdint>

// y_r = weight[ids_r], rows y_row_stride elements apart; NaN where the id is out of range.
struct EmbeddingForward {
  const void* ids;
  const void* weight;
  void* y;
  int64_t rows, entries, width, y_row_stride;
  int32_t dtype, id_dtype;
};

// dweight_v = the sum of grad_r over the rows r whose id is v; ids that are `padding` (-1: none) or
// out of range count for nothing. Deterministic, without atomics on floats. The workspace:
//
//   keys, numbers  (2, rows)                         the sort of rows by id
//   counts         (256, ceil(rows / 2048))
//   starts         (entries + 1)                     where each id's rows start
//   partial        (ceil(rows / 32), 2, width)       sums of ids whose rows cross a tile of 32
struct EmbeddingBackward {
  const void* grad;
  const void* ids;
  void* dweight;  // of grad's type, or float32
  uint32_t* keys;
  uint32_t* numbers;
  int32_t* counts;
  uint32_t* starts;
  float* partial;
  int64_t rows, entries, width, grad_row_stride, padding;
  int32_t accumulate;  // add to what dweight holds
  int32_t dtype, dweight_dtype, id_dtype;
};
