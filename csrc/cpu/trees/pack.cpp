// Breadth-first copies of the trees; a tree's root is node 1, so that pairs of children are
// aligned.
#include "cpu/trees/pack.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/parallel.h"

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
    const int64_t largest = place_trees();
    number_columns();
    const bool narrow = largest < 65535 && out_.columns.size() * kForestLanes < 65536;
    if (out_.category_table.size() > kNoWords) {
      out_.wide_keys ? fill<CategoryNode<uint64_t>>() : fill<CategoryNode<uint32_t>>();
    } else if (out_.wide_keys) {
      fill<SplitNode<uint64_t, uint32_t>>();
    } else {
      narrow ? fill<SplitNode<uint32_t, uint16_t>>() : fill<SplitNode<uint32_t, uint32_t>>();
    }
  }

 private:
  static constexpr size_t kNoWords = 2;  // of the category table: the empty set
  static constexpr uint32_t kNone = std::numeric_limits<uint32_t>::max();
  static constexpr int kWays = 8;  // in which a feature can be looked at

  // Returns the most nodes of a tree.
  int64_t place_trees() {
    int64_t largest = 0;
    for (int64_t t = 0; t < in_.n_trees; ++t) {
      const int64_t size = size_of(t);
      const int32_t output = in_.tree_output[t];
      if (size < 1 || size >= std::numeric_limits<int32_t>::max()) {
        fail("tree_offset", "expected trees of 1 to 2**31 - 2 nodes");
      }
      if (output < -1 || output >= in_.n_outputs || (in_.width > 1 && output != -1)) {
        fail("tree_output", "expected -1 or numbers below n_outputs");
      }
      out_.trees.push_back({total_, in_.tree_offset[t], output, 0});
      total_ += 1 + size + (1 + size) % 2;
      largest = std::max(largest, size);
    }
    if (in_.tree_offset[0] != 0 || in_.tree_offset[in_.n_trees] != in_.n_nodes) {
      fail("tree_offset", "expected to cover the nodes");
    }
    return largest;
  }

  bool categorical(int64_t node) const { return in_.category_offset[node] >= 0; }
  bool missing_left(int64_t node) const { return !categorical(node) && in_.default_left[node]; }

  // The column of a split node; kNone where it has no number yet.
  uint32_t& column_of(int64_t node) {
    const int way = 4 * categorical(node) + 2 * missing_left(node) + in_.zero_is_missing[node];
    return column_of_[int64_t{out_.slot_of[in_.feature[node]]} * kWays + way];
  }

  // One column for each way in which a feature is looked at, and the sets of categories.
  void number_columns() {
    out_.slot_of.assign(in_.n_features, -1);
    out_.category_table.assign(kNoWords, 0);
    for (int64_t node = 0; node < in_.n_nodes; ++node) {
      if (in_.feature[node] < 0) continue;
      number_column(node);
      if (categorical(node)) append_categories(node);
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

  int64_t size_of(int64_t tree) const { return in_.tree_offset[tree + 1] - in_.tree_offset[tree]; }

  void number_column(int64_t node) {
    const int32_t feature = in_.feature[node];
    if (feature >= in_.n_features) fail("feature", "expected numbers below n_features");
    int32_t& slot = out_.slot_of[feature];
    if (slot < 0) {
      slot = static_cast<int32_t>(out_.features.size());
      out_.features.push_back(feature);
      column_of_.resize(out_.features.size() * kWays, kNone);
    }
    uint32_t& column = column_of(node);
    if (column != kNone) return;
    column = static_cast<uint32_t>(out_.columns.size());
    out_.columns.push_back({static_cast<uint32_t>(slot), categorical(node), missing_left(node),
                            in_.zero_is_missing[node]});
  }

  template <class Node>
  void fill() {
    auto& nodes = out_.nodes.emplace<CachedVector<Node>>(total_);
    out_.original.resize(total_);
    out_.value.resize(total_ * in_.width);
    std::vector<int32_t> depths(out_.trees.size());
    parallel_tasks(in_.n_trees, [&](int64_t t) { depths[t] = fill_tree(nodes.data(), t); });
    for (const int32_t depth : depths) out_.max_depth = std::max(out_.max_depth, depth);
  }

  // Returns how deep the tree is.
  template <class Node>
  int32_t fill_tree(Node* all_nodes, int64_t t) {
    PackedTree& tree = out_.trees[t];
    Node* const nodes = all_nodes + tree.first;
    int32_t* const original = out_.original.data() + tree.first;
    double* const values = out_.value.data() + tree.first * in_.width;
    const int64_t size = size_of(t), room = 1 + size + (1 + size) % 2;
    const auto fill_up = [&](int64_t begin, int64_t end) {
      std::fill(nodes + begin, nodes + end, Node{});
      std::fill(original + begin, original + end, -1);
      std::fill(values + begin * in_.width, values + end * in_.width, 0.0);
    };
    fill_up(0, 1);
    original[1] = 0;
    std::vector<bool> has_parent(size, false);
    int64_t end = 2, level_end = 2;
    int32_t depth = 0;
    // The nodes themselves are the queue of the breadth-first walk.
    for (int64_t i = 1; i < end; ++i) {
      if (i == level_end) {
        level_end = end;
        ++depth;
      }
      const int32_t local = original[i];
      const int64_t node = tree.source + local;
      if (in_.feature[node] < 0) {
        set(nodes[i], std::numeric_limits<typename Node::KeyType>::max(), 0,
            static_cast<uint32_t>(i), 0);
        std::copy_n(in_.value + node * in_.width, in_.width, values + i * in_.width);
        continue;
      }
      for (const int32_t child : {in_.left[node], in_.right[node]}) {
        if (child <= local || child >= size) {
          fail("left, right", "expected children within the tree, after their parent");
        }
        if (has_parent[child]) fail("left, right", "expected one parent a node");
        has_parent[child] = true;
      }
      const auto child = static_cast<uint32_t>(end);
      const uint32_t column = column_of(node) * kForestLanes;
      if (categorical(node)) {
        set(nodes[i], std::numeric_limits<typename Node::KeyType>::min(), column, child,
            word_of_[node]);
      } else {
        set(nodes[i], threshold_key<typename Node::KeyType>(in_.threshold[node]), column, child, 0);
      }
      std::fill_n(values + i * in_.width, in_.width, 0.0);
      original[end++] = in_.left[node];
      original[end++] = in_.right[node];
    }
    fill_up(end, room);
    // A full tree of as many leaves is as deep; splits are mostly made where the rows are.
    const auto leaves = static_cast<uint64_t>(size / 2 + 1);
    tree.first_steps = std::min<int32_t>(depth, std::bit_width(leaves) - 1);
    return depth;
  }

  template <class Node, class Key>
  static void set(Node& node, Key threshold, uint32_t column, uint32_t child, uint32_t category) {
    node.threshold = threshold;
    node.column = static_cast<decltype(node.column)>(column);
    node.child = static_cast<decltype(node.child)>(child);
    if constexpr (requires { node.category; }) node.category = category;
  }

  // Bit 0 stands for a missing value, bit 1 + c for category c.
  void append_categories(int64_t node) {
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
    if (word_of_.empty()) word_of_.assign(in_.n_nodes, 0);
    word_of_[node] = static_cast<uint32_t>(start);
  }

  const ForestArrays& in_;
  PackedForest& out_;
  int64_t total_ = 0;                // nodes, with what fills up pairs
  std::vector<uint32_t> column_of_;  // by slot and way
  std::vector<uint32_t> word_of_;    // by node: its set in the table; empty without categories
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
