#pragma once

#include "core/array.h"
#include "core/isa.h"

namespace pyllm {

enum class Norm { layer, rms };

// y = normalised s * weight + bias along the last axis, s = x + residual (or x).
struct NormArgs {
  Norm kind = Norm::layer;
  Array x;
  Array y;                          // shape and dtype of x
  const Array* residual = nullptr;  // shape and dtype of x; needs sum
  const Array* sum = nullptr;       // where to write s
  const Array* weight = nullptr;    // (n,), any floating dtype
  const Array* bias = nullptr;      // (n,)
  const Array* mean = nullptr;      // out, contiguous, float32 (float64 where x is); layer only
  const Array* rstd = nullptr;      // out, likewise
  double eps = 1e-5;
};

struct NormBackwardArgs {
  Norm kind = Norm::layer;
  Array dy;
  Array x;  // what was normalised
  Array dx;
  const Array* weight = nullptr;
  const Array* mean = nullptr;  // contiguous; layer only
  Array rstd;                   // contiguous
  const Array* grad_sum = nullptr;
  const Array* dweight = nullptr;  // out
  const Array* dbias = nullptr;    // out; layer only
};

PYLLM_KERNEL(norm_forward, (const NormArgs& args));
PYLLM_KERNEL(norm_backward, (const NormBackwardArgs& args));

}  // namespace pyllm
