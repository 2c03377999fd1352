#pragma once

#include <cstdint>
#include <vector>

#include "core/cached.h"
#include "cpu/trees/split.h"

namespace pyllm::trees {

constexpr int32_t kNoNode = -1;

// Consecutive row numbers of a node.
struct Segment {
  int64_t begin = 0, count = 0;
};

// What is left of a node when its tree is grown.
struct TreeNode {
  Segment rows;
  int32_t depth = 0;
  int32_t feature = -1, bin = 0;  // codes up to the bin go left; feature -1: leaf
  int32_t left = kNoNode, right = kNoNode;
  bool default_left = false;
  int64_t category_offset = -1;  // categorical splits: their first word
  double gain = 0;
  Bounds bounds;
};

// Children come after their parent.
struct TreeNodes {
  CachedVector<TreeNode> nodes;
  std::vector<uint32_t> categories;
};

}  // namespace pyllm::trees
