#pragma once

#include "core/array.h"
#include "core/isa.h"

namespace pyllm {

// y = x / (1 - p) where the mask keeps, 0 where it drops, plus residual. Also its own gradient.
struct DropoutArgs {
  Array x;
  Array y;                          // shape and dtype of x
  const Array* residual = nullptr;  // shape and dtype of x
  double p = 0;
  uint64_t seed = 0;
  uint64_t stream = 0;
};

PYLLM_KERNEL(dropout, (const DropoutArgs& args));

}  // namespace pyllm
