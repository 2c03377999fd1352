#include "cpu/trees/open_node.h"

#include <utility>

namespace pyllm::trees {

int32_t OpenTree::add(OpenNode node) {
  nodes.push_back(std::move(node));
  tree.feature.push_back(kNoNode);
  tree.bin.push_back(0);
  tree.left.push_back(kNoNode);
  tree.right.push_back(kNoNode);
  tree.default_left.push_back(0);
  tree.category_offset.push_back(-1);
  tree.gain.push_back(0);
  return static_cast<int32_t>(nodes.size()) - 1;
}

}  // namespace pyllm::trees
