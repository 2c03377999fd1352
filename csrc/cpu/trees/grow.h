#pragma once

#include <cstdint>
#include <vector>

#include "core/parallel.h"
#include "cpu/trees/bins.h"
#include "cpu/trees/split.h"

namespace pyllm::trees {

struct GrowOptions {
  bool leafwise = true;   // highest gain first; else level by level
  int32_t max_depth = 0;  // 0: no limit, here and below
  int32_t max_leaves = 0;
  Criterion criterion = Criterion::newton;
  Objective objective;
  double min_gain = 0;
  double min_child_weight = 0;
  int64_t min_child_samples = 1, min_split_samples = 2;
  std::vector<int8_t> monotone;                                     // by feature, or empty
  double share_by_tree = 1, share_by_level = 1, share_by_node = 1;  // of features, drawn
  std::vector<std::vector<int32_t>> interaction;  // sets that a path stays within; empty: any
  double category_smooth = 10, category_l2 = 10;
  int32_t max_cat_threshold = 16, max_onehot = 4;
  int64_t min_category_samples = 20, min_group_samples = 100;
  bool extra_random = false;  // one random cut a feature
};

struct GrowInput {
  const Bins* bins = nullptr;
  const float* gradient = nullptr;  // (rows, outputs), strides in elements
  const float* hessian = nullptr;
  int64_t row_stride = 1, output_stride = 1;
  int32_t outputs = 1;
  const int32_t* rows = nullptr;  // the rows that take part, ascending; null: all
  int64_t count = 0;              // how many
  uint64_t seed = 0;
  bool quantized = false;  // gradients of few bits choose the splits
};

// Nodes in the order they were made, the root first.
struct GrownTree {
  std::vector<int32_t> feature;  // -1: leaf
  std::vector<int32_t> bin;      // codes up to this one go left
  std::vector<int32_t> left, right;
  std::vector<uint8_t> default_left;
  // Categorical splits: words from here on, bits by code, what goes left; else -1.
  std::vector<int64_t> category_offset;
  std::vector<uint32_t> categories;
  std::vector<double> value;  // (nodes, outputs)
  std::vector<float> gain;
  std::vector<double> cover;
  std::vector<int64_t> count;
};

// Called between nodes; throws to stop.
using Checkpoint = FunctionRef<void()>;

// leaf_of_row: out, for every row of the data set. Gradients that are not finite give
// std::invalid_argument.
GrownTree grow_tree(const GrowInput& input, const GrowOptions& options, int32_t* leaf_of_row,
                    Checkpoint checkpoint);

}  // namespace pyllm::trees
