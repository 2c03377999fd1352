// What every optimizer step is given beside its own states and settings.
#pragma once

#include "core/array.h"

namespace pyllm {

// Flat buffers of n elements, contiguous. States and `master` have the compute type: float64 where
// the parameters are, float32 otherwise.
struct Parameters {
  Array param;                    // float32, float64, bfloat16 or float16
  const Array* master = nullptr;  // float32 copy that a 16-bit param is rounded from
  Array grad;                     // dtype of param, or the compute type
  double grad_scale = 1;          // what the gradient is multiplied by: clipping, -1 to maximize
};

}  // namespace pyllm
