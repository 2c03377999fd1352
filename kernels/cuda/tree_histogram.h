// Sums of gradients and hessians by bin, as 64-bit integers: exact, whatever the order of rows.
#pragma once

#include <cstdint>

// The histograms of several nodes at once. A histogram is (total_bins, 2), gradient and hessian
// side by side; feature f has bins bin_offset[f] to bin_offset[f + 1], by its codes.
struct TreeHistogram {
  const void* codes;          // (rows, features), rows codes_row_stride apart: one byte, or two
  const void* quantized;      // (rows, 2) of one output: int32, or int64 where wide_sums
  const int32_t* rows;        // row numbers, the rows of a node next to one another; or null
  const int64_t* segments;    // (nodes, 2): where in `rows` a node's start, and how many they are
  const int32_t* bin_offset;  // (features + 1,)
  const int64_t* places;      // (nodes,): of a node's histogram among all, -1 where none is wanted
                              // of a segment without rows; or null, in the order of nodes
  int64_t* histograms;        // (places, total_bins, 2), histogram_node_stride apart; overwritten
  int64_t nodes, features, total_bins, codes_row_stride, histogram_node_stride;
  int64_t most_rows;           // of a node
  int64_t features_per_group;  // a block's share of the features, whose bins must fit shared memory
  int64_t group_bins;          // the most bins of such a group: at most 20,000; half if wide_sums
  int32_t wide;                // codes of two bytes
  int32_t wide_sums;
};

// sibling = parent - child for pairs of siblings; sibling may be parent.
struct TreeSubtract {
  int64_t* histograms;     // (places, bins, 2)
  const int64_t* parent;   // (pairs,): places; -1 leaves the pair out
  const int64_t* child;    // (pairs,)
  const int64_t* sibling;  // (pairs,)
  int64_t pairs, bins;
};
