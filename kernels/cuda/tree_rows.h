// The rows of nodes: as a tree starts, as nodes are split, and what their children are made of.
#pragma once

#include <cstdint>

// to = from in the segments of some nodes; where there is no `from`, the numbers from 0 up.
struct TreeCopyRows {
  const int32_t* from;  // or null
  int32_t* to;
  const int64_t* segments;  // (nodes, 2): where a node's rows start, and how many they are
  int64_t nodes, most_rows;
};

// After a partition (tree_partition.h): the children's segments, and which histograms to sum. Where
// the parent's is at hand, that of the child with fewer rows (the left one, if there are as many)
// is summed and the other's is the difference; else both are summed.
struct TreeChildren {
  const int64_t* segments;       // (nodes, 2): of the parents
  const int64_t* lefts;          // (nodes,)
  const int64_t* parent_places;  // (nodes,): of their histograms, or -1
  const int64_t* places;         // (nodes, 2): for the histograms of the left and the right child
  int64_t* summed;               // (nodes, 2, 2): segments of the children to sum, else of no rows
  int64_t* summed_places;        // (nodes, 2): of the histograms to sum; -1: no
  int64_t* known;                // (nodes,): place of the child that is summed, where one is
  int64_t* sibling;              // (nodes,): place of the other
  int64_t nodes;
};
