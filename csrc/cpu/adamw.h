#pragma once

#include "core/array.h"
#include "core/isa.h"

namespace pyllm {

// One step of AdamW on flat buffers of n elements.
struct AdamWArgs {
  Array param;                    // float32 or bfloat16
  const Array* master = nullptr;  // float32 copy that param is rounded from, if param is bfloat16
  Array grad;                     // dtype of param, or float32
  float* exp_avg = nullptr;
  float* exp_avg_sq = nullptr;
  double lr = 0, beta1 = 0, beta2 = 0, eps = 0, weight_decay = 0;
  double grad_scale = 1;  // what the gradient is multiplied by (clipping)
  int64_t step = 1;       // counted from 1
  bool decoupled = true;  // weight decay on the parameter (AdamW), not the gradient (Adam)
};

PYLLM_KERNEL(adamw_step, (const AdamWArgs& args));

// Sum of squares in float64, the same at any thread count. Contiguous.
PYLLM_KERNEL(sum_of_squares, (const Array& x, double& result));

}  // namespace pyllm
