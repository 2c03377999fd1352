// Margins of a forest, and the leaf of each row in each tree. The arrays are those of
// pyllm.trees.Forest.
#pragma once

#include <cstdint>

struct TreePredict {
  const void* x;                // (rows, features), float32 or float64, any strides; NaN is missing
  const int64_t* tree_offset;   // (trees + 1,)
  const int32_t* tree_output;   // (trees,): the column a tree adds to; -1: leaves are vectors
  const int32_t* feature;       // (nodes,): -1: leaf
  const double* threshold;      // (nodes,): x <= threshold goes left
  const int32_t* left;          // (nodes,), within the tree
  const int32_t* right;         // (nodes,)
  const uint8_t* default_left;  // (nodes,): where missing values go
  const uint8_t* zero_is_missing;  // (nodes,)
  const int64_t* category_offset;  // (nodes,): first word in category_bits; -1: numeric split
  const int32_t* category_words;   // (nodes,)
  const uint32_t* category_bits;   // a set bit sends its category left
  const double* value;             // (nodes, width)
  const double* base_score;        // (outputs,)
  double* margin;                  // (rows, outputs), or null
  int32_t* leaves;                 // (rows, last_tree - first_tree), or null
  int64_t rows, outputs, width;
  int64_t first_tree, last_tree;
  int64_t x_row_stride, x_column_stride;
  int32_t x_float64;
  int32_t float32_input;  // x is rounded to float32 before it is compared
  int32_t average;        // divide by the number of trees that add to an output
};
