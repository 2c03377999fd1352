#pragma once

#include <cstdint>
#include <vector>

#include "cpu/trees/grow.h"

namespace pyllm::trees {

// Consecutive row numbers of a node.
struct Segment {
  int64_t begin = 0, count = 0;
};

// Fills in what follows from the structure of a tree: the value, cover and count of every node from
// the gradients as they were given, and the leaf of every row.
void fill_nodes(const GrowInput& input, const Objective& objective, const int32_t* rows,
                const std::vector<Segment>& segments, const std::vector<Bounds>& bounds,
                GrownTree& tree, int32_t* leaf_of_row);

}  // namespace pyllm::trees
