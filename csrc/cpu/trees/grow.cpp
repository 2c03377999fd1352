// Growing one tree.
//
// A node's rows are a segment of one array of row numbers; a split partitions the segment. Of the
// two children only the smaller one's histogram is summed, the other's is the parent's minus it.
// The next node to split is the one with the highest gain (leaf-wise), or the next of the level.
// All sums that decide are integers, so the order in which threads finish changes nothing.
#include "cpu/trees/grow.h"

#include <algorithm>
#include <queue>
#include <tuple>
#include <utility>

#include "cpu/trees/grow_nodes.h"
#include "cpu/trees/node_splits.h"
#include "cpu/trees/node_values.h"
#include "cpu/trees/open_node.h"
#include "cpu/trees/plain_subtree.h"
#include "cpu/trees/sampling.h"
#include "cpu/trees/segment.h"
#include "cpu/trees/shared.h"
#include "cpu/trees/subtrees.h"

namespace pyllm::trees {
namespace {

constexpr int64_t kSubtreesAtOnce = 32;  // that a thread gets between checkpoints

// Grows a tree, or what is below one node of it.
class Grower {
 public:
  Grower(const Shared& shared, OpenNode root)
      : shared_(shared),
        options_(shared.options),
        splits_(shared),
        plain_(has_plain_subtrees(shared)),
        defers_(options_.max_leaves == 0 && (plain_ || root.rows.count > kSubtreeRows)),
        queue_(Later{options_.leafwise}) {
    add(std::move(root));
  }

  TreeNodes grow(Checkpoint checkpoint) {
    run(checkpoint);
    if (defers_) {
      grow_subtrees(checkpoint);
      return in_order(grown_, *shared_.input.bins, options_.leafwise);
    }
    return std::move(grown_);
  }

 private:
  void run(Checkpoint checkpoint) {
    if (may_split(0)) look_at(0);
    while (!queue_.empty() && !full()) {
      checkpoint();
      const int32_t node = queue_.top().node;
      queue_.pop();
      split(node);
    }
  }

  // Where all leaves are split as far as they go, the order does not matter: what is below a node
  // of few rows is left to one thread. That also bounds how many histograms are kept.
  void grow_subtrees(Checkpoint checkpoint) {
    const auto count = static_cast<int64_t>(deferred_.size());
    const int64_t step = kSubtreesAtOnce * num_threads();
    for (int64_t begin = 0; begin < count; begin += step) {
      checkpoint();
      const int64_t end = std::min(begin + step, count);
      std::vector<TreeNodes> subtrees(end - begin);
      parallel_tasks(end - begin, [&](int64_t i) {
        const OpenNode& root = open_[deferred_[begin + i]];
        subtrees[i] = plain_ ? plain_subtree(root) : Grower(shared_, root).grow([] {});
      });
      for (int64_t i = begin; i < end; ++i) {
        graft(grown_, deferred_[i], subtrees[i - begin]);
      }
    }
  }

  TreeNodes plain_subtree(const OpenNode& root) const {
    PlainSubtreeArgs args;
    args.shared = &shared_;
    args.rows = root.rows;
    args.depth = root.depth;
    args.key = root.key;
    args.totals = root.totals.data();
    TreeNodes subtree;
    tree_plain_subtree(args, subtree.nodes);
    return subtree;
  }

  int32_t add(OpenNode node) {
    TreeNode leaf;
    leaf.rows = node.rows;
    leaf.depth = node.depth;
    leaf.bounds = node.bounds;
    grown_.nodes.push_back(leaf);
    open_.push_back(std::move(node));
    return static_cast<int32_t>(open_.size()) - 1;
  }

  bool full() const { return options_.max_leaves > 0 && leaves_ >= options_.max_leaves; }

  bool may_split(int32_t node) const {
    const OpenNode& n = open_[node];
    const int64_t least = 2 * std::max<int64_t>(options_.min_child_samples, 1);
    return n.rows.count >= std::max(least, options_.min_split_samples) &&
           (options_.max_depth == 0 || n.depth < options_.max_depth) && !full();
  }

  void look_at(int32_t node) {
    if (defers_ && open_[node].rows.count <= kSubtreeRows) {
      deferred_.push_back(node);
      return;
    }
    splits_.find(open_[node]);
    enqueue(node);
  }

  void enqueue(int32_t node) {
    const OpenNode& n = open_[node];
    if (n.split.feature >= 0) queue_.push({n.split.gain, n.depth, node});
  }

  void split(int32_t node) {
    const Segment rows = open_[node].rows;
    const int64_t lefts =
        partition_segment(*shared_.input.bins, open_[node].split, shared_.rows.data() + rows.begin,
                          shared_.spare.data() + rows.begin, rows.count);
    auto [left_child, right_child] = children_of(open_[node], lefts);
    const int32_t left = add(std::move(left_child));
    const int32_t right = add(std::move(right_child));
    write_split(node, left, right);
    ++leaves_;

    const bool left_is_small = lefts <= rows.count - lefts;
    const int32_t small = left_is_small ? left : right, large = left_is_small ? right : left;
    Histogram parent = std::exchange(open_[node].histogram, {});
    const int64_t alone = defers_ ? kSubtreeRows : kFewRows;
    if (parent.sums && splits_.subtracts() && may_split(large) && open_[large].rows.count > alone) {
      splits_.find(open_[small], open_[large], parent, may_split(small));
      enqueue(small);
      enqueue(large);
      return;
    }
    splits_.give_back(parent);
    for (const int32_t child : {left, right}) {
      if (may_split(child)) look_at(child);
    }
  }

  std::pair<OpenNode, OpenNode> children_of(const OpenNode& node, int64_t lefts) const {
    OpenNode left, right;
    left.rows = {node.rows.begin, lefts};
    right.rows = {node.rows.begin + lefts, node.rows.count - lefts};
    left.totals = node.split.left;
    right.totals = node.totals;
    for (size_t o = 0; o < node.totals.size(); ++o) right.totals[o] -= left.totals[o];
    left.key = child_key(node.key, false);
    right.key = child_key(node.key, true);
    std::tie(left.bounds, right.bounds) = bounds_of(node, left.totals[0], right.totals[0]);
    for (OpenNode* child : {&left, &right}) {
      child->depth = node.depth + 1;
      if (options_.interaction.empty()) continue;
      child->path = node.path;
      child->path.push_back(node.split.feature);
    }
    return {std::move(left), std::move(right)};
  }

  // A split on a monotone feature parts its children's values at their middle.
  std::pair<Bounds, Bounds> bounds_of(const OpenNode& node, Pair left, Pair right) const {
    const SplitRules& rules = shared_.rules;
    const Bounds own = node.bounds;
    const int sign = rules.monotone ? rules.monotone[node.split.feature] : 0;
    if (sign == 0) return {own, own};
    const auto weight = [&](Pair sum) {
      return options_.objective.weight(static_cast<double>(sum[0]) * rules.gradient_unit,
                                       static_cast<double>(sum[1]) * rules.hessian_unit, own);
    };
    const double middle = (weight(left) + weight(right)) / 2;
    const Bounds below{own.low, middle}, above{middle, own.high};
    return sign > 0 ? std::pair{below, above} : std::pair{above, below};
  }

  void write_split(int32_t node, int32_t left, int32_t right) {
    const Split& split = open_[node].split;
    TreeNode& n = grown_.nodes[node];
    n.feature = split.feature;
    n.bin = split.bin;
    if (!split.categories.empty()) {
      n.category_offset = static_cast<int64_t>(grown_.categories.size());
      grown_.categories.insert(grown_.categories.end(), split.categories.begin(),
                               split.categories.end());
    }
    n.left = left;
    n.right = right;
    // A missing value where training saw none goes with the majority.
    n.default_left =
        split.saw_missing ? split.missing_left : open_[left].rows.count >= open_[right].rows.count;
    n.gain = split.gain;
  }

  const Shared& shared_;
  const GrowOptions& options_;
  NodeSplits splits_;
  const bool plain_;               // these are such as plain_subtree.h says
  const bool defers_;              // small subtrees are grown last
  std::vector<int32_t> deferred_;  // their roots
  TreeNodes grown_;
  std::vector<OpenNode> open_;  // the same, but for those of subtrees
  std::priority_queue<Queued, std::vector<Queued>, Later> queue_;
  int32_t leaves_ = 1;
};

// All but value and cover.
GrownTree to_columns(const TreeNodes& grown) {
  GrownTree tree;
  const size_t n = grown.nodes.size();
  for (auto* column : {&tree.feature, &tree.bin, &tree.left, &tree.right}) column->reserve(n);
  tree.default_left.reserve(n);
  tree.category_offset.reserve(n);
  tree.gain.reserve(n);
  tree.count.reserve(n);
  for (const TreeNode& node : grown.nodes) {
    tree.feature.push_back(node.feature);
    tree.bin.push_back(node.bin);
    tree.left.push_back(node.left);
    tree.right.push_back(node.right);
    tree.default_left.push_back(node.default_left);
    tree.category_offset.push_back(node.category_offset);
    tree.gain.push_back(static_cast<float>(node.gain));
    tree.count.push_back(node.rows.count);
  }
  tree.categories = grown.categories;
  return tree;
}

}  // namespace

TreeNodes grow_nodes(const Shared& shared, Checkpoint checkpoint) {
  OpenNode root;
  root.rows = {0, shared.input.count};
  root.key = 1;
  root.totals = shared.fixed.totals;
  return Grower(shared, std::move(root)).grow(checkpoint);
}

GrownTree grow_tree(const GrowInput& input, const GrowOptions& options, int32_t* leaf_of_row,
                    Checkpoint checkpoint) {
  const Shared shared(input, options);
  const TreeNodes grown = grow_nodes(shared, checkpoint);
  GrownTree tree = to_columns(grown);
  fill_nodes(input, options.objective, shared.rows.data(), grown, tree, leaf_of_row);
  return tree;
}

}  // namespace pyllm::trees
