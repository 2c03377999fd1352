#pragma once

#include "core/array.h"
#include "core/isa.h"

namespace pyllm {

// c = a b over the last two axes; the leading axes of a and b have been broadcast to those of c
// (stride 0 where an axis is repeated).
struct MatmulArgs {
  Array a, b, c;
};

PYLLM_KERNEL(matmul, (const MatmulArgs& args));

}  // namespace pyllm
