#pragma once

#include "core/array.h"
#include "core/isa.h"

namespace pyllm {

// y_i = x_i / (1 - p) where element i of the Philox stream keeps, else 0. Contiguous; y may be x.
// The backward is the same op on the gradient.
struct DropoutArgs {
  Array x;
  Array y;
  double p = 0;
  uint64_t seed = 0;
  uint64_t stream = 0;
};

PYLLM_KERNEL(dropout, (const DropoutArgs& args));

}  // namespace pyllm
