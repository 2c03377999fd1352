#pragma once

#include "cpu/trees/predict.h"

namespace pyllm {

struct PartialDependenceArgs {
  const PackedForest* forest = nullptr;
  ForestRows rows;
  const bool* known = nullptr;         // a feature
  const double* left_share = nullptr;  // a packed node: part of its training weight that goes left
  double* out = nullptr;               // (rows, n_outputs), zeros to add to
};

PYLLM_KERNEL(forest_partial_dependence, (const PartialDependenceArgs& args));

}  // namespace pyllm
