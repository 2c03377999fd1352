// Breadth-first copies of the trees; a tree's root is node 1, so that pairs of children are
// aligned.
#include "cpu/trees/pack.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <stdexcept>
#include <string>
#include <tuple>

namespace pyllm {
namespace {

[[noreturn]] void fail(const char* name, const char* problem) {
  throw std::invalid_argument(std::string(name) + ": " + problem);
}

// The largest float32 that is not above t: what a float32 has to be compared with.
float floor_float(double t) {
  auto f = static_cast<float>(t);
  if (static_cast<double>(f) > t) f = std::nextafter(f, -std::numeric_limits<float>::infinity());
  return f;
}

template <class Key>
Key threshold_key(double t) {
  t += 0.0;  // -0 and 0 are equal
  if constexpr (sizeof(Key) == 4) {
    return float_key(floor_float(t) + 0.0f);
  } else {
    return double_key(t);
  }
}

class Packer {
 public:
  Packer(const ForestArrays& forest, PackedForest& out) : in_(forest), out_(out) {}

  void pack() {
    number_columns();
    out_.category_table.assign(2, 0);
    const uint32_t largest = largest_tree();
    const bool narrow = largest < 65535 && out_.columns.size() * kForestLanes < 65536;
    if (categorical_) {
      out_.wide_keys ? fill<CategoryNode<uint64_t>>() : fill<CategoryNode<uint32_t>>();
    } else if (out_.wide_keys) {
      fill<SplitNode<uint64_t, uint32_t>>();
    } else {
      narrow ? fill<SplitNode<uint32_t, uint16_t>>() : fill<SplitNode<uint32_t, uint32_t>>();
    }
  }

 private:
  uint32_t largest_tree() const {
    int64_t largest = 0;
    for (int64_t t = 0; t < in_.n_trees; ++t) {
      const int64_t size = in_.tree_offset[t + 1] - in_.tree_offset[t];
      if (size < 1 || size >= std::numeric_limits<int32_t>::max()) {
        fail("tree_offset", "expected trees of 1 to 2**31 - 2 nodes");
      }
      largest = std::max(largest, size);
    }
    if (in_.tree_offset[0] != 0 || in_.tree_offset[in_.n_trees] != in_.n_nodes) {
      fail("tree_offset", "expected to cover the nodes");
    }
    return static_cast<uint32_t>(largest);
  }

  // One column for each way in which a feature is looked at.
  void number_columns() {
    out_.slot_of.assign(in_.n_features, -1);
    column_of_.assign(in_.n_nodes, 0);
    has_parent_.assign(in_.n_nodes, false);
    std::map<std::tuple<int32_t, bool, bool, bool>, uint32_t> known;
    for (int64_t i = 0; i < in_.n_nodes; ++i) {
      const int32_t feature = in_.feature[i];
      if (feature < 0) continue;
      if (feature >= in_.n_features) fail("feature", "expected numbers below n_features");
      const bool categorical = in_.category_offset[i] >= 0;
      categorical_ |= categorical;
      const bool missing_left = !categorical && in_.default_left[i];
      const auto [place, fresh] = known.try_emplace(
          {feature, categorical, missing_left, in_.zero_is_missing[i]}, out_.columns.size());
      if (fresh) {
        int32_t& slot = out_.slot_of[feature];
        if (slot < 0) {
          slot = static_cast<int32_t>(out_.features.size());
          out_.features.push_back(feature);
        }
        out_.columns.push_back(
            {static_cast<uint32_t>(slot), categorical, missing_left, in_.zero_is_missing[i]});
      }
      column_of_[i] = place->second;
    }
    if (out_.columns.size() >= std::numeric_limits<uint32_t>::max() / kForestLanes) {
      fail("feature", "too many of them");
    }
    if (out_.columns.empty() && in_.n_features > 0) {  // leaves read a key as well
      out_.features.push_back(0);
      out_.slot_of[0] = 0;
    }
    if (out_.columns.empty()) out_.columns.push_back({0, false, false, false});
  }

  template <class Node>
  void fill() {
    auto& nodes = out_.nodes.emplace<std::vector<Node>>();
    const size_t total = in_.n_nodes + in_.n_trees + in_.n_trees;
    nodes.reserve(total);
    out_.original.reserve(total);
    for (int64_t t = 0; t < in_.n_trees; ++t) {
      const int32_t output = in_.tree_output[t];
      if (output < -1 || output >= in_.n_outputs || (in_.width > 1 && output != -1)) {
        fail("tree_output", "expected -1 or numbers below n_outputs");
      }
      if (nodes.size() % 2) append_filler(nodes);
      out_.trees.push_back({static_cast<int64_t>(nodes.size()), in_.tree_offset[t], output, 0});
      append_tree(nodes, t);
    }
    out_.value.assign(nodes.size() * in_.width, 0.0);
    for (size_t t = 0; t < out_.trees.size(); ++t) {
      const size_t end = t + 1 < out_.trees.size() ? out_.trees[t + 1].first : nodes.size();
      for (size_t i = out_.trees[t].first; i < end; ++i) {
        if (out_.original[i] < 0) continue;
        const int64_t node = in_.tree_offset[t] + out_.original[i];
        if (in_.feature[node] >= 0) continue;
        std::memcpy(&out_.value[i * in_.width], in_.value + node * in_.width,
                    in_.width * sizeof(double));
      }
    }
  }

  template <class Node>
  void append_filler(std::vector<Node>& nodes) {
    nodes.emplace_back();
    out_.original.push_back(-1);
  }

  template <class Node>
  void append_tree(std::vector<Node>& nodes, int64_t t) {
    PackedTree& tree = out_.trees[t];
    const int64_t size = in_.tree_offset[t + 1] - in_.tree_offset[t];
    append_filler(nodes);
    append_filler(nodes);
    out_.original.back() = 0;
    int64_t level_end = tree.first + 2;
    int32_t depth = 0;
    // The nodes themselves are the queue of the breadth-first walk.
    for (int64_t i = tree.first + 1; i < static_cast<int64_t>(nodes.size()); ++i) {
      if (i == level_end) {
        level_end = nodes.size();
        ++depth;
        out_.max_depth = std::max(out_.max_depth, depth);
      }
      const int32_t local = out_.original[i];
      const int64_t node = in_.tree_offset[t] + local;
      const auto here = static_cast<uint32_t>(i - tree.first);
      if (in_.feature[node] < 0) {
        set(nodes[i], std::numeric_limits<typename Node::KeyType>::max(), 0, here, 0);
        continue;
      }
      for (const int32_t child : {in_.left[node], in_.right[node]}) {
        if (child <= local || child >= size) {
          fail("left, right", "expected children within the tree, after their parent");
        }
        if (has_parent_[in_.tree_offset[t] + child]) {
          fail("left, right", "expected one parent a node");
        }
        has_parent_[in_.tree_offset[t] + child] = true;
      }
      const auto child = static_cast<uint32_t>(nodes.size() - tree.first);
      const uint32_t column = column_of_[node] * kForestLanes;
      if (in_.category_offset[node] >= 0) {
        set(nodes[i], std::numeric_limits<typename Node::KeyType>::min(), column, child,
            append_categories(node));
      } else {
        set(nodes[i], threshold_key<typename Node::KeyType>(in_.threshold[node]), column, child, 0);
      }
      append_filler(nodes);
      out_.original.back() = in_.left[node];
      append_filler(nodes);
      out_.original.back() = in_.right[node];
    }
    // A full tree of as many leaves is as deep; splits are mostly made where the rows are.
    const auto leaves = static_cast<uint64_t>(size / 2 + 1);
    tree.first_steps = std::min<int32_t>(depth, std::bit_width(leaves) - 1);
  }

  template <class Node, class Key>
  static void set(Node& node, Key threshold, uint32_t column, uint32_t child, uint32_t category) {
    node.threshold = threshold;
    node.column = static_cast<decltype(node.column)>(column);
    node.child = static_cast<decltype(node.child)>(child);
    if constexpr (requires { node.category; }) node.category = category;
  }

  // Bit 0 stands for a missing value, bit 1 + c for category c.
  uint32_t append_categories(int64_t node) {
    const int64_t offset = in_.category_offset[node], words = in_.category_words[node];
    if (words < 1 || words > kMaxCategoryWords || words > in_.n_words ||
        offset > in_.n_words - words) {
      fail("category_offset", "expected words within category_bits");
    }
    auto& table = out_.category_table;
    const size_t start = table.size();
    if (start + words + 2 > std::numeric_limits<uint32_t>::max()) {
      fail("category_bits", "too many of them");
    }
    table.push_back(static_cast<uint32_t>(words * 32 + 1));
    uint32_t carry = in_.default_left[node] ? 1 : 0;
    for (int64_t w = 0; w < words; ++w) {
      const uint32_t bits = in_.category_bits[offset + w];
      table.push_back(bits << 1 | carry);
      carry = bits >> 31;
    }
    table.push_back(carry);
    return static_cast<uint32_t>(start);
  }

  const ForestArrays& in_;
  PackedForest& out_;
  std::vector<uint32_t> column_of_;
  std::vector<bool> has_parent_;
  bool categorical_ = false;
};

}  // namespace

uint32_t float_key(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, 4);
  return bits >> 31 ? ~bits : bits | uint32_t{1} << 31;
}

uint64_t double_key(double x) {
  uint64_t bits;
  std::memcpy(&bits, &x, 8);
  return bits >> 63 ? ~bits : bits | uint64_t{1} << 63;
}

PackedForest pack_forest(const ForestArrays& forest, bool wide_keys) {
  PackedForest packed;
  packed.n_features = forest.n_features;
  packed.n_outputs = forest.n_outputs;
  packed.width = forest.width;
  packed.n_source_nodes = forest.n_nodes;
  packed.wide_keys = wide_keys;
  Packer(forest, packed).pack();
  return packed;
}

}  // namespace pyllm
