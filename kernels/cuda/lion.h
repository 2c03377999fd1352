// One step of Lion on many tensors in as few launches as their table takes.
#pragma once

#include <cstdint>

struct LionTensor {
  void* param;
  const void* grad;
  void* exp_avg;  // float32, or codes
  float* master;  // the float32 copy that a 16-bit parameter is rounded from, or null
  int64_t n;
  float* exp_avg_scale;  // of a quantised moment, one for 256 elements; else null
};

struct LionStep {
  const LionTensor* tensors;  // in host memory
  int64_t count;
  const float* grad_scale;  // on the device, or null for 1
  double grad_factor;       // times grad_scale: -1 to maximize
  double lr, beta1, beta2, weight_decay;
  int32_t param_dtype, grad_dtype;
  int32_t quantized;
};
