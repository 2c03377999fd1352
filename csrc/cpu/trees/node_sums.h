#pragma once

#include <cstdint>
#include <vector>

#include "cpu/trees/grow.h"

namespace pyllm::trees {

// Leaves are summed in the order of the rows that take part, in blocks of so many, then block by
// block.
int64_t rows_of_a_sum(int64_t nodes);

// Value and cover of every node from the sums of gradients and hessians in the leaves. sums:
// (nodes, outputs, 2); those of inner nodes are filled in, each its children's, left first.
void fill_values(const Objective& objective, int32_t outputs, FunctionRef<Bounds(int64_t)> bounds,
                 double* sums, GrownTree& tree);

}  // namespace pyllm::trees
