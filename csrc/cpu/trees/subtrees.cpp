#include "cpu/trees/subtrees.h"

#include <queue>
#include <utility>

namespace pyllm::trees {

void graft(OpenTree& onto, int32_t node, OpenTree subtree) {
  const auto base = static_cast<int32_t>(onto.nodes.size()) - 1;
  const auto words = static_cast<int64_t>(onto.tree.categories.size());
  const GrownTree& from = subtree.tree;
  GrownTree& to = onto.tree;
  for (size_t i = 0; i < subtree.nodes.size(); ++i) {
    const int32_t at = i == 0 ? node : onto.add({});
    onto.nodes[at] = std::move(subtree.nodes[i]);
    to.feature[at] = from.feature[i];
    to.bin[at] = from.bin[i];
    to.left[at] = from.left[i] < 0 ? kNoNode : from.left[i] + base;
    to.right[at] = from.right[i] < 0 ? kNoNode : from.right[i] + base;
    to.default_left[at] = from.default_left[i];
    to.gain[at] = from.gain[i];
    const int64_t offset = from.category_offset[i];
    to.category_offset[at] = offset < 0 ? offset : offset + words;
  }
  to.categories.insert(to.categories.end(), from.categories.begin(), from.categories.end());
}

void number_by_queue(OpenTree& grown, const Bins& bins, bool leafwise) {
  const GrownTree from = std::exchange(grown.tree, {});
  std::vector<OpenNode> nodes = std::exchange(grown.nodes, {});
  std::priority_queue<Queued, std::vector<Queued>, Later> queue(Later{leafwise});
  std::vector<int32_t> old{0};
  const auto enqueue = [&](int32_t node) {
    const OpenNode& n = nodes[old[node]];
    if (from.feature[old[node]] >= 0) queue.push({n.split.gain, n.depth, node});
  };
  std::vector<int32_t> left(nodes.size(), kNoNode), right(nodes.size(), kNoNode);
  enqueue(0);
  while (!queue.empty()) {
    const int32_t node = queue.top().node;
    queue.pop();
    left[node] = static_cast<int32_t>(old.size());
    right[node] = left[node] + 1;
    old.push_back(from.left[old[node]]);
    old.push_back(from.right[old[node]]);
    enqueue(left[node]);
    enqueue(right[node]);
  }
  GrownTree& to = grown.tree;
  for (const int32_t o : old) {
    const int32_t at = grown.add(std::move(nodes[o]));
    to.feature[at] = from.feature[o];
    to.bin[at] = from.bin[o];
    to.default_left[at] = from.default_left[o];
    to.gain[at] = from.gain[o];
    if (from.category_offset[o] < 0) continue;
    const auto words = from.categories.begin() + from.category_offset[o];
    to.category_offset[at] = static_cast<int64_t>(to.categories.size());
    to.categories.insert(to.categories.end(), words,
                         words + bins.features[from.feature[o]].bins / 32 + 1);
  }
  to.left = std::move(left);
  to.right = std::move(right);
}

}  // namespace pyllm::trees
