// Nodes of a tree that grows on a device: what the host knows of them.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "cpu/trees/split.h"
#include "cpu/trees/tree_node.h"

namespace pyllm::bind_cuda {

constexpr int64_t kNowhere = -1;

struct DeviceNode {
  trees::Segment rows;
  int32_t depth = 0;
  uint64_t key = 1;           // what it draws by
  std::vector<int32_t> path;  // features of the splits above, where interactions are limited
  trees::Bounds bounds;
  std::vector<trees::Pair> totals;  // by output
  trees::Split split;               // the best there is, if any
  int64_t place = kNowhere;         // of its histogram
  // Once its split was carried out: the children, of which the tree may still make no use.
  std::unique_ptr<std::array<DeviceNode, 2>> children;
};

}  // namespace pyllm::bind_cuda
