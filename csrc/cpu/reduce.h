// Sums and extrema along the rows or down the columns of a matrix.
#pragma once

#include "core/array.h"
#include "core/isa.h"

namespace pyllm {

enum class ReduceOp { sum, max, min };

struct ReduceArgs {
  ReduceOp op;
  Array x;    // (rows, columns), contiguous; for max and min not empty along what is reduced
  Array y;    // (rows,), or (columns,) if `down`; contiguous; sums in the compute type
  bool down;  // over the rows
};

PYLLM_KERNEL(reduce_matrix, (const ReduceArgs& args));

}  // namespace pyllm
