#pragma once

#include "cpu/trees/predict.h"

namespace pyllm {

struct ForestShapArgs {
  const PackedForest* forest = nullptr;
  ForestRows rows;
  const double* left_share = nullptr;  // a packed node: part of its training weight that goes left
  int32_t max_depth = 0;               // of the deepest tree
  bool interactions = false;
  // Zeros to add to: (rows, n_outputs, n_features + 1), the expectation last; interactions have
  // that axis twice.
  double* out = nullptr;
};

PYLLM_KERNEL(forest_shap, (const ForestShapArgs& args));

}  // namespace pyllm
