#pragma once

#include "core/scratch.h"
#include "cpu/trees/grow.h"
#include "cpu/trees/quantize.h"

namespace pyllm::trees {

// The gradients of a tree as integers (sums.h).
struct FixedPoint {
  Packing packing = Packing::bits32;
  double gradient_unit = 1, hessian_unit = 1;   // what an integer 1 stands for
  int64_t block = 0;                            // rows whose packed sums cannot overflow
  Packing sums_packing = Packing::bits64;       // of sums of more rows
  int64_t least_hessian = 0, most_hessian = 0;  // of a row
  std::vector<Pair> totals;                     // by output
  Scratch<char> words;                          // (outputs, rows)

  const void* output(int32_t o, int64_t rows) const;
};

// Throws std::invalid_argument naming gradient or hessian unless all are finite.
FixedPoint to_fixed_point(const GrowInput& input);

}  // namespace pyllm::trees
