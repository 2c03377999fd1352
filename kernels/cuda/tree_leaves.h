// What a grown tree means for its rows: sums in its leaves, the leaf of each row, new margins.
#pragma once

#include <cstdint>

// Sums of the float gradients and hessians of some nodes, in float64: in the order of rows within a
// block of rows, then block by block, what the CPU's engine sums, to the bit.
struct TreeLeafSums {
  const float* gradient;  // of row r and output o at [r * row_stride + o * output_stride]
  const float* hessian;
  const int32_t* rows;          // ascending within each node
  const int64_t* segments;      // (nodes, 2): where in `rows` a node's start, how many they are
  const int64_t* block_starts;  // (blocks + 1,): the rows that blocks start at, and the end
  double* partial;              // workspace (blocks, nodes, outputs, 2)
  double* sums;                 // (nodes, outputs, 2)
  int64_t nodes, outputs, blocks, row_stride, output_stride;
};

// The leaf that each row's codes lead to.
struct TreeFindLeaves {
  const void* codes;            // (rows, features), rows codes_row_stride apart: one byte, or two
  const int32_t* feature;       // (nodes,): -1: leaf
  const int32_t* bin;           // (nodes,): codes up to this one go left
  const int32_t* missing_code;  // (nodes,): the code of a missing value
  const int32_t* left;          // (nodes,)
  const int32_t* right;         // (nodes,)
  const uint8_t* default_left;  // (nodes,): where missing values go
  int32_t* leaf;                // (rows,)
  int64_t rows, codes_row_stride;
  int32_t wide;  // codes of two bytes
};

// margin[i] += value[leaf[i]]; NaN where there is no such leaf.
struct TreeAddLeafValues {
  double* margin;       // (rows,)
  const int32_t* leaf;  // (rows,)
  const double* value;  // (nodes,)
  int64_t rows, nodes;
};
