// What is below a node of few rows, grown by one thread without leaving its cache.
//
// The case that forests are made of: no limit on leaves, so that the order of splits is free;
// numerical features of one byte; no criterion but newton, no penalty or bound on values but L2.
// The tree is the one that the general path (grow.cpp) grows, node for node.
#pragma once

#include <cstdint>
#include <vector>

#include "core/isa.h"
#include "cpu/trees/shared.h"
#include "cpu/trees/tree_node.h"

namespace pyllm::trees {

// Rows of a node whose subtree one thread grows.
constexpr int64_t kSubtreeRows = 4096;

struct PlainSubtreeArgs {
  const Shared* shared = nullptr;
  Segment rows;  // of the root, at most kSubtreeRows; put in the order of the leaves
  int32_t depth = 0;
  uint64_t key = 0;              // what the root draws by
  const Pair* totals = nullptr;  // by output
};

// Whether the subtrees of a tree are such.
bool has_plain_subtrees(const Shared& shared);

}  // namespace pyllm::trees

namespace pyllm {
// nodes: out, the root first, children after their parent.
PYLLM_KERNEL(tree_plain_subtree,
             (const trees::PlainSubtreeArgs& args, CachedVector<trees::TreeNode>& nodes));
}  // namespace pyllm
