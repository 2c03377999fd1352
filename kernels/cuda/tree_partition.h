// Sends the rows of several nodes to their children, keeping the order of rows.
#pragma once

#include <cstdint>

// A node's rows stand next to one another in `rows`; in `sorted`, at the same place, those that go
// left come first. A code goes left if it is at most `bin`, or, at a categorical split, if its bit
// is set; the code after the last bin (a missing value) goes left if missing_left is.
struct TreePartition {
  const void* codes;  // (features, all rows), columns codes_column_stride apart
  const int32_t* rows;
  int32_t* sorted;
  const int64_t* segments;        // (nodes, 2): where in `rows` a node's start, how many they are
  const int32_t* feature;         // (nodes,): -1 leaves a node as it is, all rows on the left
  const int32_t* bin;             // (nodes,)
  const int32_t* missing_code;    // (nodes,): the code of a missing value, -1 if there is none
  const int32_t* missing_left;    // (nodes,)
  const int64_t* category_start;  // (nodes,): first word in category_bits, -1 for a numeric split
  const uint32_t* category_bits;  // or null where no split is categorical
  int32_t* counts;                // workspace (nodes * tiles + 1), tiles of 2,048 of most_rows
  int64_t* lefts;                 // (nodes,): how many of a node's rows went left
  int64_t nodes, most_rows, codes_column_stride;
  int32_t wide;  // codes of two bytes
};
