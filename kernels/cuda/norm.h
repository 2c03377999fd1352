// layer_norm and rms_norm of the rows of a matrix, and their gradients.
#pragma once

#include <cstdint>

// y = (s - mean) rstd weight + bias of each row, s = x + residual. Arrays are (rows, n), a row's
// elements next to one another and rows `row_stride` elements apart; weight and bias (n,), of
// parameter_dtype, which is dtype or float32. y may be x or residual.
struct NormForward {
  const void* x;
  const void* residual;  // null: s is x
  const void* weight;    // null: ones
  const void* bias;      // null: zeros
  void* y;
  void* sum;    // s, rounded to its type before it is normalised; null without a residual
  float* mean;  // (rows,), or null; not written by rms_norm
  float* rstd;  // (rows,), or null
  int64_t rows, n;
  int64_t x_row_stride, residual_row_stride, y_row_stride, sum_row_stride;
  float eps;
  int32_t dtype, parameter_dtype;
  int32_t rms;  // mean is taken for 0
};

// Gradients from dy and what was normalised, x (the forward's sum, where it had a residual). dx may
// be dy, x or grad_sum. Without dweight, dbias is not computed either.
struct NormBackward {
  const void* dy;
  const void* x;
  const void* weight;
  const void* grad_sum;  // added to dx, or null
  const float* mean;     // (rows,), null for rms_norm
  const float* rstd;     // (rows,)
  void* dx;
  void* dweight;   // (n,), of parameter_dtype, or null
  void* dbias;     // likewise
  float* partial;  // workspace of 2 * partial_rows * n: sums over the rows of one block each
  int64_t rows, n, partial_rows;
  int64_t dy_row_stride, x_row_stride, grad_sum_row_stride, dx_row_stride;
  int32_t dtype, parameter_dtype;
};
