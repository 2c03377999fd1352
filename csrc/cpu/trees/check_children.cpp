#include "cpu/trees/check_children.h"

#include <vector>

#include "core/parallel.h"

namespace pyllm::trees {
namespace {

ChildFault check_tree(int64_t nodes, const int32_t* feature, const int32_t* left,
                      const int32_t* right) {
  std::vector<uint8_t> parents(nodes, 0);
  for (const auto& [name, children] : {std::pair{"left", left}, std::pair{"right", right}}) {
    for (int64_t node = 0; node < nodes; ++node) {
      const int64_t child = children[node];
      if (feature[node] < 0) {
        if (child != -1) return {name, "expected -1 at leaves"};
        continue;
      }
      if (child <= node || child >= nodes) {
        return {name, "expected children within the tree, after their parent"};
      }
      if (parents[child]++ > 0) {
        return {"left", "expected every node but the root to be the child of one node"};
      }
    }
  }
  for (int64_t node = 1; node < nodes; ++node) {
    if (parents[node] != 1) {
      return {"left", "expected every node but the root to be the child of one node"};
    }
  }
  return {};
}

}  // namespace

ChildFault check_children(int64_t trees, const int64_t* offset, const int32_t* feature,
                          const int32_t* left, const int32_t* right) {
  std::vector<ChildFault> faults(trees);
  parallel_tasks(trees, [&](int64_t t) {
    const int64_t at = offset[t];
    faults[t] = check_tree(offset[t + 1] - at, feature + at, left + at, right + at);
  });
  for (const ChildFault& fault : faults) {
    if (fault.field) return fault;
  }
  return {};
}

}  // namespace pyllm::trees
