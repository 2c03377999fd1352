#pragma once

#include <cstdint>

#include "cpu/trees/bins.h"
#include "cpu/trees/open_node.h"

namespace pyllm::trees {

// Puts a subtree in the place of the leaf `node`: its node 0 is the leaf, the others follow.
void graft(OpenTree& onto, int32_t node, OpenTree subtree);

// Numbers the nodes as if each had been made in the order of the queue, so that a tree does not
// tell which of its subtrees were grown apart.
void number_by_queue(OpenTree& grown, const Bins& bins, bool leafwise);

}  // namespace pyllm::trees
