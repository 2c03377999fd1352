#include "bindings_cuda/tree_search.h"

#include <algorithm>

namespace pyllm::bind_cuda {

SearchRules::SearchRules(const DeviceGrowInput& in, const trees::GrowOptions& o,
                         const DeviceFixedPoint& f)
    : input(in),
      options(o),
      fixed(f),
      choice(in.bins->features, o, in.seed),
      by_node(!choice.same_for_all_nodes() || o.share_by_tree < 1) {
  if (o.monotone.empty()) return;
  Upload upload;
  upload.add(monotone, o.monotone);
  upload.send(in.stream);
  monotone_memory = upload.memory();
}

SplitSearch::SplitSearch(const SearchRules& rules, std::vector<DeviceNode*> nodes)
    : rules_(rules), nodes_(std::move(nodes)) {
  const DeviceBins& bins = *rules.input.bins;
  const trees::GrowOptions& o = rules.options;
  args_.units = rules.fixed.units;
  args_.bin_offset = bins.bin_offset;
  args_.has_missing = bins.has_missing;
  args_.monotone = rules.monotone;
  args_.nodes = static_cast<int64_t>(nodes_.size());
  args_.outputs = rules.input.outputs;
  args_.features = static_cast<int64_t>(bins.features.size());
  args_.total_bins = bins.total;
  args_.l1 = o.objective.l1, args_.l2 = o.objective.l2;
  args_.max_delta_step = o.objective.max_delta_step;
  args_.min_gain = o.min_gain, args_.min_child_weight = o.min_child_weight;
  args_.min_child_samples = o.min_child_samples;
  args_.least_hessian_sum =
      o.min_child_samples * rules.input.outputs * std::max<int64_t>(rules.fixed.least_hessian, 0);
}

void SplitSearch::add_to(Upload& upload, Download& download) {
  std::vector<int64_t> totals, places;
  for (const DeviceNode* node : nodes_) {
    places.push_back(node->place);
    for (const trees::Pair& sum : node->totals) totals.insert(totals.end(), {sum[0], sum[1]});
  }
  upload.add(args_.totals, totals);
  upload.add(args_.places, places);
  if (rules_.monotone != nullptr) {
    std::vector<double> bounds;
    for (const DeviceNode* node : nodes_) {
      bounds.insert(bounds.end(), {node->bounds.low, node->bounds.high});
    }
    upload.add(args_.bounds, bounds);
  }
  if (rules_.by_node) {
    std::vector<uint8_t> allowed(static_cast<size_t>(args_.nodes * args_.features), 0);
    for (size_t i = 0; i < nodes_.size(); ++i) {
      const DeviceNode& node = *nodes_[i];
      for (const int32_t f : rules_.choice.of_node(node.key, node.depth, node.path)) {
        allowed[i * static_cast<size_t>(args_.features) + static_cast<size_t>(f)] = 1;
      }
    }
    upload.add(args_.allowed, allowed);
  }
  download.add(args_.gains, args_.nodes, gains_);
  download.add(args_.features_found, args_.nodes, features_);
  download.add(args_.bins, args_.nodes, bins_);
  download.add(args_.missing_left, args_.nodes, missing_left_);
  download.add(args_.saw_missing, args_.nodes, saw_missing_);
  download.add(args_.left, args_.nodes * args_.outputs * 2, left_);
}

void SplitSearch::launch(const int64_t* histograms, const int64_t* counts,
                         const int64_t* node_rows) {
  const Stream& stream = rules_.input.stream;
  const auto cells = static_cast<size_t>(args_.nodes * args_.features);
  workspace_ = allocate(cells * (sizeof(double) + sizeof(int32_t)), stream);
  args_.feature_gains = static_cast<double*>(workspace_.get());
  args_.feature_cuts = reinterpret_cast<int32_t*>(args_.feature_gains + cells);
  args_.histograms = histograms;
  args_.counts = counts;
  args_.node_rows = node_rows;
  check(pyllm_cuda_tree_split(&args_, stream.handle()), "looking for splits");
}

void SplitSearch::take_splits() {
  const auto outputs = static_cast<size_t>(args_.outputs);
  for (size_t i = 0; i < nodes_.size(); ++i) {
    trees::Split& split = nodes_[i]->split;
    split = {};
    if (features_[i] < 0) continue;
    split.gain = gains_[i];
    split.feature = features_[i];
    split.bin = bins_[i];
    split.missing_left = missing_left_[i] != 0;
    split.saw_missing = saw_missing_[i] != 0;
    for (size_t o = 0; o < outputs; ++o) {
      const int64_t* sum = left_.data() + (i * outputs + o) * 2;
      split.left.push_back(trees::Pair{sum[0], sum[1]});
    }
  }
}

}  // namespace pyllm::bind_cuda
