#pragma once

#include "core/array.h"
#include "core/isa.h"
#include "cpu/trees/pack.h"

namespace pyllm {

// How float64 rows become keys of 32 bits; float32 rows and keys of 64 bits need no rounding.
enum class RowRounding { nearest, up };

// Rows: dense, or CSR when `indptr` is set. The caller has checked shapes and indices.
struct ForestRows {
  Array x;  // dense: (rows, features), float32 or float64, any strides; CSR: (stored,)
  int64_t rows = 0;
  const int64_t* indptr = nullptr;  // rows + 1
  Array indices;                    // (stored,) int32 or int64
  double absent = 0.0;              // what an entry counts as that is not stored
  RowRounding rounding = RowRounding::nearest;
};

struct ForestPredictArgs {
  const PackedForest* forest = nullptr;
  ForestRows rows;
  int64_t first_tree = 0, end_tree = 0;
  double* sums = nullptr;     // (rows, n_outputs): what the trees add is added, in their order
  int32_t* leaves = nullptr;  // or (rows, end_tree - first_tree): the leaf in each tree
};

PYLLM_KERNEL(forest_predict, (const ForestPredictArgs& args));

}  // namespace pyllm
