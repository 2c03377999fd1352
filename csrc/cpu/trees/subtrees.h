#pragma once

#include <cstdint>

#include "cpu/trees/bins.h"
#include "cpu/trees/tree_node.h"

namespace pyllm::trees {

// Puts a subtree in the place of the leaf `node`: its node 0 is the leaf, the others follow.
void graft(TreeNodes& onto, int32_t node, const TreeNodes& subtree);

// Numbers the nodes as if each had been made when its parent's turn came, so that a tree does not
// tell which of its subtrees were grown apart: the highest gain first (leafwise), or by level.
TreeNodes in_order(const TreeNodes& grown, const Bins& bins, bool leafwise);

}  // namespace pyllm::trees
