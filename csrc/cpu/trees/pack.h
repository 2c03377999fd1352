// A forest laid out for traversal.
//
// A row is first turned into unsigned keys that order as its numbers do, one for each *column*: a
// feature together with what counts as missing and where that goes. A missing entry becomes the
// lowest key in a column whose missing values go left and the highest where they go right, so a
// step down a tree is a load of the node, a load of the key, a comparison and an addition:
//
//   at = node.child + (key > node.threshold)
//
// Children lie side by side. A leaf is its own child and its threshold the highest key, so a walk
// that has arrived stays. Nodes are 8 bytes where 16 bits hold a column and a child.
//
// Keys of 32 bits hold float32 rows, float64 rows that the forest rounds to float32, and float64
// rows where every threshold is a float32 (rounding the row up keeps x <= t as it is). Else 64.
#pragma once

#include <cstdint>
#include <variant>
#include <vector>

#include "core/cached.h"

namespace pyllm {

// Rows that walk side by side; their keys are interleaved: keys[column * kForestLanes + row].
constexpr int kForestLanes = 16;

// The arrays of pyllm.trees.Forest, borrowed; lengths are checked by the caller, contents by pack.
struct ForestArrays {
  int64_t n_features = 0, n_outputs = 0, n_trees = 0, n_nodes = 0, n_words = 0;
  const int64_t* tree_offset = nullptr;  // n_trees + 1
  const int32_t* tree_output = nullptr;  // n_trees
  const int32_t *feature = nullptr, *left = nullptr, *right = nullptr;
  const double* threshold = nullptr;
  const bool *default_left = nullptr, *zero_is_missing = nullptr;
  const int64_t* category_offset = nullptr;
  const int32_t* category_words = nullptr;
  const uint32_t* category_bits = nullptr;
  const double* value = nullptr;  // (n_nodes, width)
  int64_t width = 1;
};

template <class Key, class Index>
struct SplitNode {
  using KeyType = Key;
  Key threshold;  // key > threshold goes right
  Index column;   // times kForestLanes
  Index child;    // the left one, within the tree; the right one follows
};

// Goes left if bit `key - 1` of the set is 1, else as SplitNode. A set is its length in bits and
// then its words, in category_table; category 0 there is empty, for splits at thresholds.
template <class Key>
struct CategoryNode {
  using KeyType = Key;
  Key threshold;
  uint32_t column, child, category;
};

struct ForestColumn {
  uint32_t slot;  // into PackedForest::features
  bool categorical, missing_left, zero_is_missing;
};

struct PackedTree {
  int64_t first;        // of its nodes
  int64_t source;       // of its nodes in ForestArrays
  int32_t output;       // -1: all of them
  int32_t first_steps;  // after which most rows should be at a leaf
};

// Keys of a categorical column: 1 + a bit of the sets, which is 0 for missing and 1 + c for
// category c; the highest key for what no set contains.
constexpr uint32_t kMissingCategory = 1, kFirstCategory = 2;
constexpr int64_t kMaxCategoryWords = (int64_t{1} << 26) - 1;
constexpr double kCategoryLimit = 32.0 * kMaxCategoryWords;  // above all that a set can hold

struct PackedForest {
  using Nodes =
      std::variant<CachedVector<SplitNode<uint32_t, uint16_t>>,
                   CachedVector<SplitNode<uint32_t, uint32_t>>,
                   CachedVector<SplitNode<uint64_t, uint32_t>>,
                   CachedVector<CategoryNode<uint32_t>>, CachedVector<CategoryNode<uint64_t>>>;

  int64_t n_features = 0, n_outputs = 0, width = 1;
  int64_t n_source_nodes = 0;  // in ForestArrays
  int32_t max_depth = 0;       // of all trees
  bool wide_keys = false;
  std::vector<int32_t> features;  // those that some node splits on
  std::vector<int32_t> slot_of;   // feature -> its place in `features`, -1 without one
  std::vector<ForestColumn> columns;
  std::vector<PackedTree> trees;
  Nodes nodes;
  std::vector<uint32_t> category_table;
  CachedVector<int32_t> original;  // number of a node within its tree in ForestArrays
  CachedVector<double> value;      // (nodes, width); zeros at splits
};

// Throws std::invalid_argument if the arrays are not a forest.
PackedForest pack_forest(const ForestArrays& forest, bool wide_keys);

// The order of floating-point numbers as integers; x must not be NaN, nor -0.
uint32_t float_key(float x);
uint64_t double_key(double x);

}  // namespace pyllm
