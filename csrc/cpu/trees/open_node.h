#pragma once

#include <cstdint>
#include <vector>

#include "cpu/trees/histogram.h"
#include "cpu/trees/split.h"
#include "cpu/trees/tree_node.h"

namespace pyllm::trees {

// A node while the tree grows.
struct OpenNode {
  Segment rows;
  int32_t depth = 0;
  uint64_t key = 0;           // what it draws by
  std::vector<int32_t> path;  // features of the splits above, where interactions are limited
  Bounds bounds;
  std::vector<Pair> totals;  // by output
  Histogram histogram;       // kept for the children while there is a split to make
  Split split;               // the best; feature -1: none
};

// The order in which nodes are split: by gain, or by level.
struct Queued {
  double gain;
  int32_t depth, node;
};

struct Later {
  bool leafwise;
  bool operator()(const Queued& a, const Queued& b) const {
    if (leafwise && a.gain != b.gain) return a.gain < b.gain;
    if (!leafwise && a.depth != b.depth) return a.depth > b.depth;
    return a.node > b.node;
  }
};

}  // namespace pyllm::trees
