// Splits of many nodes carried out at once, a wave: their rows parted, their children's histograms
// summed and best splits found. The host waits for a wave once.
//
// `rows` holds every node's rows as the tree stands, `sorted` at the same place what a split makes
// of them; adopt() makes that the state of the tree. So a split may be carried out before it is
// known whether the tree takes it.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "bindings_cuda/histogram_places.h"
#include "bindings_cuda/tree_search.h"

namespace pyllm::bind_cuda {

class Waves {
 public:
  Waves(const DeviceGrowInput& input, const trees::GrowOptions& options,
        const DeviceFixedPoint& fixed);

  // The root, with its best split.
  DeviceNode root();
  // Carries out the splits of the nodes and, with `search`, finds those of their children. Needs
  // two free places a node then.
  void carry_out(std::span<DeviceNode* const> nodes, bool search);
  // The tree takes a split that was carried out; done with the next wave.
  void adopt(const DeviceNode& node) { adopted_.push_back(node.rows); }
  // Row numbers, those of each node next to one another and ascending.
  const int32_t* rows();

  HistogramPlaces& places() { return places_; }
  bool may_split(const DeviceNode& node) const;

 private:
  const Stream& stream() const { return input_.stream; }
  void copy_rows(const int32_t* from, int32_t* to, const std::vector<trees::Segment>& segments);
  void make_children(DeviceNode& node) const;
  TreeHistogram histograms_of(bool wide_sums) const;
  void sum(TreeHistogram& args);
  void take_best(const std::vector<DeviceNode*>& nodes, const int32_t* rows);
  bool surely_leaves_enough_rows(const DeviceNode& node) const;
  void search_by_counts(std::span<DeviceNode* const> nodes, const int32_t* rows);

  const DeviceGrowInput& input_;
  const trees::GrowOptions& options_;
  const DeviceFixedPoint& fixed_;
  const DeviceBins& bins_;
  SearchRules rules_;
  HistogramPlaces places_;
  std::shared_ptr<void> rows_memory_;
  int32_t *rows_, *sorted_;
  std::vector<trees::Segment> adopted_;
  std::shared_ptr<void> ones_;  // (0, 1) a row, once they are needed
};

}  // namespace pyllm::bind_cuda
