// Activations and gated linear units of the rows of a matrix, with the bias before them, and their
// gradients. Arrays are (rows, n), a row's elements next to one another and rows `row_stride`
// elements apart; biases (n,); all of one type. Outputs may be inputs.
#pragma once

#include <cstdint>

namespace pyllm::cuda {
enum ActivationKind : int32_t { kRelu = 0, kGelu = 1, kGeluTanh = 2, kSilu = 3 };
}

// y = act(x + bias)
struct ActivationForward {
  const void* x;
  const void* bias;  // or null
  void* y;
  int64_t rows, n;
  int64_t x_row_stride, y_row_stride;
  int32_t kind, dtype;
};

// dx = dy act'(x + bias), dbias = its sum over rows
struct ActivationBackward {
  const void* dy;
  const void* x;
  const void* bias;
  void* dx;
  void* dbias;     // (n,), or null
  float* partial;  // workspace of partial_rows * n where there is a dbias
  int64_t rows, n, partial_rows;
  int64_t dy_row_stride, x_row_stride, dx_row_stride;
  int32_t kind, dtype;
};

// y = act(gate + gate_bias) (up + up_bias)
struct GluForward {
  const void* gate;
  const void* up;
  const void* gate_bias;
  const void* up_bias;
  void* y;
  int64_t rows, n;
  int64_t gate_row_stride, up_row_stride, y_row_stride;
  int32_t kind, dtype;
};

struct GluBackward {
  const void* dy;
  const void* gate;
  const void* up;
  const void* gate_bias;
  const void* up_bias;
  void* dgate;
  void* dup;
  void* dgate_bias;
  void* dup_bias;
  float* partial;  // workspace of 2 * partial_rows * n where there is a gradient of a bias
  int64_t rows, n, partial_rows;
  int64_t dy_row_stride, gate_row_stride, up_row_stride, dgate_row_stride, dup_row_stride;
  int32_t kind, dtype;
};
