#pragma once

#include <cstdint>
#include <vector>

#include "cpu/trees/grow.h"
#include "cpu/trees/tree_node.h"

namespace pyllm::trees {

// Fills in what follows from the structure of a tree: the value, cover and count of every node from
// the gradients as they were given, and the leaf of every row.
// leaf_of_row may be null.
void fill_nodes(const GrowInput& input, const Objective& objective, const int32_t* rows,
                const std::vector<TreeNode>& nodes, GrownTree& tree, int32_t* leaf_of_row);

}  // namespace pyllm::trees
