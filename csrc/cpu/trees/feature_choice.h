#pragma once

#include <cstdint>
#include <vector>

#include "cpu/trees/bins.h"
#include "cpu/trees/grow.h"

namespace pyllm::trees {

// Which features a tree and its nodes may split on.
class FeatureChoice {
 public:
  // options must outlive it.
  FeatureChoice(const std::vector<Feature>& features, const GrowOptions& options, uint64_t seed);

  // Those that can be split at all and that the tree drew, here and below in an order that does
  // not depend on bundles: features of many bins last.
  const std::vector<int32_t>& of_tree() const { return of_tree_; }

  // Of a node: drawn by level and node, and allowed to meet those above it.
  std::vector<int32_t> of_node(uint64_t key, int32_t depth, const std::vector<int32_t>& path) const;

  // Whether every node may split on all that the tree drew.
  bool same_for_all_nodes() const;

 private:
  const GrowOptions& options_;
  uint64_t seed_;
  std::vector<int32_t> of_tree_;
};

}  // namespace pyllm::trees
