#pragma once

#include <cstdint>

#include "core/isa.h"

namespace pyllm {

// margin[i] += value[leaf[i]] for n rows; leaf in [0, nodes).
struct AddLeafValuesArgs {
  double* margin = nullptr;
  const int32_t* leaf = nullptr;
  const double* value = nullptr;
  int64_t n = 0;
};

// quantile[node]: the weighted quantile of the x of the rows in that leaf; 0 where there are none.
// Rows of weight 0 don't count. `rows` picks the rows that take part, null: all n.
struct LeafQuantilesArgs {
  const double* x = nullptr;
  const int32_t* leaf = nullptr;
  const double* weight = nullptr;  // may be null: all ones
  const int32_t* rows = nullptr;
  double* quantile = nullptr;
  int64_t n = 0, nodes = 0;
  double level = 0.5;
};

PYLLM_KERNEL(add_leaf_values, (const AddLeafValuesArgs& args));
PYLLM_KERNEL(leaf_quantiles, (const LeafQuantilesArgs& args));

}  // namespace pyllm
