// Splits that lower the absolute errors around medians.
#pragma once

#include <cstdint>
#include <vector>

#include "cpu/trees/histogram.h"
#include "cpu/trees/open_node.h"
#include "cpu/trees/shared.h"

namespace pyllm::trees {

// The targets of a node's rows in rising order, one output.
struct RankedTargets {
  std::vector<double> target;  // by rank
  std::vector<double> weight;  // by row of the node
  std::vector<int32_t> rank;   // by row of the node
};

class MedianSplits {
 public:
  MedianSplits(const Shared& shared, const OpenNode& node);

  // Betters `best` if a split on a feature of the slice does.
  void find(const FeatureSlice& slice, Split& best) const;

 private:
  const Shared& shared_;
  const OpenNode& node_;
  std::vector<RankedTargets> outputs_;
  double error_ = 0, weight_ = 0;  // of the node
};

}  // namespace pyllm::trees
