#include "cpu/trees/subtrees.h"

#include <queue>
#include <utility>

#include "cpu/trees/open_node.h"

namespace pyllm::trees {
namespace {

// The nodes' places in the new order.
CachedVector<int32_t> order_of(const CachedVector<TreeNode>& nodes, bool leafwise) {
  CachedVector<int32_t> order{0};
  order.reserve(nodes.size());
  const auto add_children = [&](const TreeNode& n) {
    order.push_back(n.left);
    order.push_back(n.right);
  };
  if (!leafwise) {
    for (size_t i = 0; i < order.size(); ++i) {
      if (nodes[order[i]].feature >= 0) add_children(nodes[order[i]]);
    }
    return order;
  }
  std::priority_queue<Queued, std::vector<Queued>, Later> queue(Later{leafwise});
  const auto enqueue = [&](size_t at) {
    const TreeNode& n = nodes[order[at]];
    if (n.feature >= 0) queue.push({n.gain, n.depth, static_cast<int32_t>(at)});
  };
  enqueue(0);
  while (!queue.empty()) {
    const TreeNode& n = nodes[order[queue.top().node]];
    queue.pop();
    add_children(n);
    enqueue(order.size() - 2);
    enqueue(order.size() - 1);
  }
  return order;
}

}  // namespace

void graft(TreeNodes& onto, int32_t node, const TreeNodes& subtree) {
  const auto base = static_cast<int32_t>(onto.nodes.size()) - 1;
  const auto words = static_cast<int64_t>(onto.categories.size());
  for (size_t i = 0; i < subtree.nodes.size(); ++i) {
    TreeNode n = subtree.nodes[i];
    if (n.feature >= 0) {
      n.left += base;
      n.right += base;
    }
    if (n.category_offset >= 0) n.category_offset += words;
    if (i == 0) {
      onto.nodes[node] = n;
    } else {
      onto.nodes.push_back(n);
    }
  }
  onto.categories.insert(onto.categories.end(), subtree.categories.begin(),
                         subtree.categories.end());
}

TreeNodes in_order(const TreeNodes& grown, const Bins& bins, bool leafwise) {
  const CachedVector<int32_t> order = order_of(grown.nodes, leafwise);
  CachedVector<int32_t> place(order.size());
  for (size_t i = 0; i < order.size(); ++i) place[order[i]] = static_cast<int32_t>(i);
  TreeNodes to;
  to.nodes.reserve(order.size());
  for (const int32_t from : order) {
    TreeNode n = grown.nodes[from];
    if (n.feature >= 0) {
      n.left = place[n.left];
      n.right = place[n.right];
    }
    if (n.category_offset >= 0) {
      const auto words = grown.categories.begin() + n.category_offset;
      n.category_offset = static_cast<int64_t>(to.categories.size());
      to.categories.insert(to.categories.end(), words,
                           words + bins.features[n.feature].bins / 32 + 1);
    }
    to.nodes.push_back(n);
  }
  return to;
}

}  // namespace pyllm::trees
