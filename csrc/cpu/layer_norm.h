#pragma once

#include "core/array.h"
#include "core/isa.h"

namespace pyllm {

// s = x + residual; y = (s - mean(s)) * rstd(s) * weight + bias along the last axis.
// weight and bias (n) or null; mean and rstd one a row, in the compute type.
struct LayerNormArgs {
  Array x;
  const Array* residual = nullptr;
  const Array* sum = nullptr;  // where s goes; may be x or residual itself
  const Array* weight = nullptr;
  const Array* bias = nullptr;
  Array y;
  Array mean, rstd;
  double eps = 0;
};

struct LayerNormBackwardArgs {
  Array grad;  // with respect to y
  Array s;     // what was normalised
  const Array* weight = nullptr;
  const Array* grad_sum = nullptr;  // arriving at s by another way, added to dx
  Array mean, rstd;
  Array dx;
  const Array* dweight = nullptr;  // both or none
  const Array* dbias = nullptr;
};

PYLLM_KERNEL(layer_norm_forward, (const LayerNormArgs& args));
PYLLM_KERNEL(layer_norm_backward, (const LayerNormBackwardArgs& args));

}  // namespace pyllm
