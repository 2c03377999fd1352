#pragma once

#include <cstdint>
#include <vector>

#include "core/scratch.h"
#include "cpu/trees/feature_choice.h"
#include "cpu/trees/fixed_point.h"
#include "cpu/trees/grow.h"
#include "cpu/trees/split.h"

namespace pyllm::trees {

// Where to cut features, which stand in the order of columns, into slices for threads: at borders
// of columns, of about as much work each.
std::vector<int32_t> slice_starts(const Bins& bins, const std::vector<int32_t>& features);

// What all parts of a tree share while it grows; constant but for the rows, of which each node
// owns its segment.
struct Shared {
  const GrowInput& input;
  const GrowOptions& options;
  FixedPoint fixed;
  Scratch<int32_t> rows, spare;
  SplitRules rules;
  FeatureChoice choice;
  std::vector<int32_t> features;  // that can be split at all and that the tree drew, by column
  std::vector<int32_t> starts;    // of their slices

  Shared(const GrowInput& input, const GrowOptions& options);

  // Features that a node may split on: drawn by level and node, and allowed to meet those above it.
  std::vector<int32_t> features_of(uint64_t key, int32_t depth,
                                   const std::vector<int32_t>& path) const;

 private:
  std::vector<int32_t> by_column(std::vector<int32_t> drawn) const;
};

}  // namespace pyllm::trees
