// One step of gradient descent with momentum on many tensors in as few launches as their table
// takes.
#pragma once

#include <cstdint>

// A tensor of n elements; `momentum_buffer` (float32, or codes) is null for all tensors or none.
struct SgdTensor {
  void* param;
  const void* grad;
  void* momentum_buffer;
  float* master;  // the float32 copy that a 16-bit parameter is rounded from, or null
  int64_t n;
  float* momentum_buffer_scale;  // of a quantised buffer, one for 256 elements; else null
};

struct SgdStep {
  const SgdTensor* tensors;  // in host memory
  int64_t count;
  const float* grad_scale;  // on the device, or null for 1
  double grad_factor;       // times grad_scale: -1 to maximize
  double lr, momentum, dampening, weight_decay;
  int32_t param_dtype, grad_dtype;
  int32_t nesterov;
  int32_t first;  // the buffer becomes the gradient, undamped, whatever it holds
  int32_t quantized;
};
