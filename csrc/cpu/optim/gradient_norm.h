#pragma once

#include "core/array.h"
#include "core/isa.h"

namespace pyllm {

// Sum of squares in float64, the same at any thread count. Contiguous.
PYLLM_KERNEL(sum_of_squares, (const Array& x, double& result));

}  // namespace pyllm
