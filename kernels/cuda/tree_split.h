// The best split of each of several nodes, from their histograms: the cuts, gains and ties of the
// CPU's engine (csrc/cpu/trees/split.cpp).
#pragma once

#include <cstdint>

// A cut sends codes up to `bin` left. Where some rows miss the feature (the code after its last
// bin), they are tried on both sides. A node without a split has gain -inf and feature -1.
struct TreeSplit {
  const int64_t* histograms;   // (places, outputs, total_bins, 2)
  const int64_t* places;       // (nodes,): of their histograms, or null: in the order of nodes
  const int64_t* totals;       // (nodes, outputs, 2)
  const double* units;         // (2,): what an integer 1 of gradient and hessian stands for
  const int32_t* bin_offset;   // (features + 1,)
  const uint8_t* has_missing;  // (features,): whether the last code stands for missing values
  const uint8_t* allowed;      // (nodes, features): the features that may split, or null for all
  const int8_t* monotone;      // (features,): 1 rising, -1 falling, 0 free; or null
  const double* bounds;        // (nodes, 2): what leaf values may be, or null
  const int64_t* counts;       // (nodes, total_bins, 2): histograms of (0, 1) for each row; or null
  const int64_t* node_rows;    // (nodes,): rows of a node, where there are counts
  double* feature_gains;       // workspace (nodes, features)
  int32_t* feature_cuts;       // workspace (nodes, features)
  double* gains;               // (nodes,)
  int32_t* features_found;     // (nodes,)
  int32_t* bins;               // (nodes,)
  int32_t* missing_left;       // (nodes,)
  int32_t* saw_missing;        // (nodes,): whether rows of the node miss the feature; or null
  int64_t* left;               // (nodes, outputs, 2): sums of the left child
  int64_t nodes, outputs, features, total_bins;
  double l1, l2, max_delta_step;  // max_delta_step 0: no limit
  double min_gain, min_child_weight;
  int64_t least_hessian_sum;  // of a child, as an integer sum
  int64_t min_child_samples;  // fewest rows of a child, where there are counts
};
