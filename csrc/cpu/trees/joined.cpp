#include "cpu/trees/joined.h"

#include <algorithm>
#include <new>
#include <utility>

namespace pyllm::trees {

void JoinedTrees::put(int64_t tree, FinishedTree finished) {
  std::vector<Placed> placed;
  {
    const std::lock_guard lock(mutex_);
    early_.emplace(tree, std::move(finished));
    int64_t next = trees(), node = nodes(), word = words_;
    for (const auto& [number, early] : early_) {
      if (number != next) break;
      ++next;
      node += static_cast<int64_t>(early.grown.nodes.size());
      word += static_cast<int64_t>(early.grown.categories.size());
    }
    make_room(next, node, word);
    placed.reserve(next - trees());
    offset_.reserve(next + 1);
    while (trees() < next) {
      FinishedTree& early = early_.begin()->second;
      const auto length = static_cast<int64_t>(early.grown.nodes.size());
      const auto own_words = static_cast<int64_t>(early.grown.categories.size());
      placed.push_back({nodes(), words_, std::move(early)});
      early_.erase(early_.begin());
      offset_.push_back(nodes() + length);
      words_ += own_words;
    }
  }
  const std::shared_lock lock(moving_);
  for (const Placed& p : placed) copy(p);
}

void JoinedTrees::finish() {
  early_.clear();
  resize(nodes());
  columns_.categories.resize(words_);
}

// Room is foreseen for as many trees like those that are there as are to come, within reason.
// Pages that nothing is written to take no memory.
void JoinedTrees::make_room(int64_t trees, int64_t nodes, int64_t words) {
  constexpr int64_t kMost = 16;  // times what is there
  if (nodes > room_) {
    const std::unique_lock lock(moving_);
    const int64_t foreseen = nodes / trees * expected_ / 16 * 17;
    try {
      resize(std::max(nodes, std::min(foreseen, nodes * kMost)));
    } catch (const std::bad_alloc&) {
      resize(nodes);
    }
  }
  if (words > word_room_) {
    const std::unique_lock lock(moving_);
    columns_.categories.resize(2 * words);
    word_room_ = 2 * words;
  }
}

void JoinedTrees::resize(int64_t nodes) {
  NodeColumns& c = columns_;
  for (auto* column : {&c.feature, &c.left, &c.right}) column->resize(nodes);
  for (auto* column : {&c.threshold, &c.cover}) column->resize(nodes);
  for (auto* column : {&c.category_offset, &c.count}) column->resize(nodes);
  c.value.resize(nodes * outputs_);
  c.default_left.resize(nodes);
  c.gain.resize(nodes);
  room_ = nodes;
}

void JoinedTrees::copy(const Placed& placed) {
  const NodeColumns& c = columns_;
  const FinishedTree& tree = placed.tree;
  int64_t at = placed.node;
  for (const TreeNode& node : tree.grown.nodes) {
    c.feature.data()[at] = node.feature;
    c.threshold.data()[at] = thresholds_.of(node);
    c.left.data()[at] = node.left;
    c.right.data()[at] = node.right;
    c.default_left.data()[at] = node.default_left;
    c.gain.data()[at] = static_cast<float>(node.gain);
    c.count.data()[at] = node.rows.count;
    c.category_offset.data()[at] =
        node.category_offset < 0 ? -1 : node.category_offset + placed.word;
    ++at;
  }
  const auto nodes = static_cast<int64_t>(tree.grown.nodes.size());
  std::copy_n(tree.value.data(), nodes * outputs_, c.value.data() + placed.node * outputs_);
  std::copy_n(tree.cover.data(), nodes, c.cover.data() + placed.node);
  std::copy(tree.grown.categories.begin(), tree.grown.categories.end(),
            c.categories.data() + placed.word);
}

}  // namespace pyllm::trees
