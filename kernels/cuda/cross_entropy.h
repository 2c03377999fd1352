// Cross-entropy of the rows of a matrix of logits (rows, n) and its gradient. A row's elements
// stand next to one another, rows `row_stride` elements apart. One step of training calls, in this
// order,
//
//   totals     what is summed over all rows and classes, and which target is wrong
//   forward    a loss and a log-sum-exp a row
//   reduce     their sum or mean
//   totals, backward
//
// `targets` (rows,) are int32 or int64. Rows whose target is `ignore_index` have loss, lse and
// gradient 0, and are not read. A target that is no class either makes its row NaN.
#pragma once

#include <cstdint>

struct CrossEntropyTotals {
  const void* targets;
  const void* class_weight;  // (n,) of the logits' type, or null for 1
  float* totals;             // (2,): the weights of all targets that count; those of all classes
  int64_t* first_bad;        // (1,): the first row with a target out of range, -1 if there is none
  int64_t rows, n, ignore_index;
  int32_t dtype, target_dtype;
};

struct CrossEntropyForward {
  const void* logits;
  const void* targets;
  const void* class_weight;
  const float* totals;
  float* losses;  // (rows,)
  float* lse;     // (rows,)
  int64_t rows, n, logits_row_stride, ignore_index;
  float label_smoothing, z_loss;
  int32_t dtype, target_dtype;
};

// loss = the sum of `losses`, or the mean: divided by totals[0].
struct CrossEntropyReduce {
  const float* losses;
  const float* totals;
  float* loss;  // (1,)
  int64_t rows;
  int32_t mean;
};

struct CrossEntropyBackward {
  const void* logits;
  const void* targets;
  const void* class_weight;
  const float* totals;
  const float* lse;
  const float* grad;  // of the loss: (1,), or (rows,) where grad_per_row; null for 1
  void* dlogits;      // may be logits
  int64_t rows, n, logits_row_stride, dlogits_row_stride, ignore_index;
  float label_smoothing, z_loss;
  float grad_scale;  // multiplies `grad`
  int32_t grad_per_row, mean;
  int32_t dtype, target_dtype;
};
