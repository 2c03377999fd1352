// softmax and log_softmax of the rows of a matrix, and their gradients.
#pragma once

#include <cstdint>

// y = softmax(x / temperature) of each row, or its logarithm. x and y are (rows, n), a row's
// elements next to one another and rows `row_stride` elements apart. y may be x.
struct SoftmaxForward {
  const void* x;
  void* y;
  int64_t rows, n;
  int64_t x_row_stride, y_row_stride;
  float temperature;
  int32_t dtype;
  int32_t log;
};

// dx from dy and the forward's y, all (rows, n). dx may be dy or y.
struct SoftmaxBackward {
  const void* dy;
  const void* y;
  void* dx;
  int64_t rows, n;
  int64_t dy_row_stride, y_row_stride, dx_row_stride;
  float temperature;
  int32_t dtype;
  int32_t log;
};
