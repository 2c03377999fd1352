// One step of AdamW, or of Adam with L2 decay, on many tensors in as few launches as their table
// takes.
#pragma once

#include <cstdint>

// A tensor of n elements and its moments. `master`, the float32 copy that a 16-bit parameter is
// rounded from, may be null.
struct AdamWTensor {
  void* param;
  const void* grad;
  float* exp_avg;
  float* exp_avg_sq;
  float* master;
  int64_t n;
};

struct AdamWStep {
  const AdamWTensor* tensors;  // in host memory
  int64_t count;
  const float* grad_scale;  // on the device, or null for 1: the clipping factor, without a sync
  double lr, beta1, beta2, eps, weight_decay;
  int64_t step;  // counted from 1
  int32_t param_dtype, grad_dtype;
  int32_t decoupled;  // decay on the parameter (AdamW), not on the gradient (Adam)
};
