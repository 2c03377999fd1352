// One step of AdamW, or of Adam with L2 decay, on many tensors in as few launches as their table
// takes.
#pragma once

#include <cstdint>

// A tensor of n elements and its moments: float32, or the codes of quantised ones. `master`, the
// float32 copy that a 16-bit parameter is rounded from, may be null.
struct AdamWTensor {
  void* param;
  const void* grad;
  void* exp_avg;
  void* exp_avg_sq;
  float* master;
  int64_t n;
  void* max_exp_avg_sq;  // AMSGrad's largest second moment, for all tensors or none; or null
  // Of quantised moments, one for 256 elements; else null.
  float* exp_avg_scale;
  float* exp_avg_sq_scale;
  float* max_exp_avg_sq_scale;
};

struct AdamWStep {
  const AdamWTensor* tensors;  // in host memory
  int64_t count;
  const float* grad_scale;  // on the device, or null for 1: the clipping factor, without a sync
  double grad_factor;       // times grad_scale: -1 to maximize
  double lr, beta1, beta2, eps, weight_decay;
  int64_t step;  // counted from 1
  int32_t param_dtype, grad_dtype;
  int32_t decoupled;  // decay on the parameter (AdamW), not on the gradient (Adam)
  int32_t quantized;  // moments in a byte an element
};
