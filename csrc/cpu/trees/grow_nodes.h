#pragma once

#include "cpu/trees/grow.h"
#include "cpu/trees/shared.h"
#include "cpu/trees/tree_node.h"

namespace pyllm::trees {

// The structure of a tree, and its rows in the order of the leaves: what grow_tree does but for the
// values.
TreeNodes grow_nodes(const Shared& shared, Checkpoint checkpoint);

}  // namespace pyllm::trees
