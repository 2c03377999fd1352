#pragma once

#include <cstdint>
#include <vector>

#include "cpu/trees/node_histograms.h"
#include "cpu/trees/open_node.h"
#include "cpu/trees/shared.h"

namespace pyllm::trees {

// Finds the best split of nodes and keeps their histograms for their children.
class NodeSplits {
 public:
  explicit NodeSplits(const Shared& shared);

  // Histograms are kept for the children; without, each node is looked at alone.
  bool subtracts() const { return subtracts_; }

  // Without the help of the parent's histogram.
  void find(OpenNode& node);

  // Of two siblings: the larger one's histogram is the parent's minus the other's. look_at_small:
  // the smaller one may be split.
  void find(OpenNode& small, OpenNode& large, Histogram parent, bool look_at_small);

  void give_back(Histogram& histogram) { histograms_.give_back(histogram); }

 private:
  std::vector<int32_t> features_of(const OpenNode& node) const {
    return shared_.features_of(node.key, node.depth, node.path);
  }
  ScanArgs scan_args(const OpenNode& node, const FeatureSlice& slice) const;
  void scan_allowed(const OpenNode& node, std::vector<Split>& best) const;
  void keep_best(OpenNode& node, std::vector<Split>& best);
  bool leaves_enough_rows(const OpenNode& node) const;
  void split_by_counts(OpenNode& node);

  const Shared& shared_;
  NodeHistograms histograms_;
  const bool subtracts_;
};

}  // namespace pyllm::trees
