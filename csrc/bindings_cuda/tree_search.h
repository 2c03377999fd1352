// The search for the best splits of some nodes: what it needs and what it finds cross in one copy.
#pragma once

#include <span>
#include <vector>

#include "bindings_cuda/device_node.h"
#include "bindings_cuda/staging.h"
#include "bindings_cuda/tree_input.h"
#include "bindings_cuda/tree_launchers.h"
#include "cpu/trees/feature_choice.h"
#include "cpu/trees/grow.h"

namespace pyllm::bind_cuda {

// What all searches of a tree share.
struct SearchRules {
  const DeviceGrowInput& input;
  const trees::GrowOptions& options;
  const DeviceFixedPoint& fixed;
  trees::FeatureChoice choice;
  bool by_node;  // nodes differ in the features that they may split on
  std::shared_ptr<void> monotone_memory;
  const int8_t* monotone = nullptr;  // on the device

  SearchRules(const DeviceGrowInput& input, const trees::GrowOptions& options,
              const DeviceFixedPoint& fixed);
};

class SplitSearch {
 public:
  // `nodes`: their depth, key, path, bounds, totals and place are set.
  SplitSearch(const SearchRules& rules, std::vector<DeviceNode*> nodes);
  SplitSearch(const SplitSearch&) = delete;
  SplitSearch& operator=(const SplitSearch&) = delete;

  void add_to(Upload& upload, Download& download);
  // counts: histograms of (0, 1) for each row of these nodes, in their order; or null.
  void launch(const int64_t* histograms, const int64_t* counts = nullptr,
              const int64_t* node_rows = nullptr);
  // After the download: into the nodes.
  void take_splits();

 private:
  const SearchRules& rules_;
  std::vector<DeviceNode*> nodes_;
  TreeSplit args_{};
  std::shared_ptr<void> workspace_;
  std::vector<double> gains_;
  std::vector<int32_t> features_, bins_, missing_left_, saw_missing_;
  std::vector<int64_t> left_;
};

}  // namespace pyllm::bind_cuda
