// Finding a node's best split: its histogram, one scan a slice of the features, the best of all.
#include "cpu/trees/node_splits.h"

#include <algorithm>
#include <utility>

#include "core/parallel.h"
#include "cpu/trees/median_splits.h"
#include "cpu/trees/segment.h"

namespace pyllm::trees {
namespace {

// Where a node looks at a smaller share of the features, its histogram is summed for these alone
// and not kept for its children.
constexpr double kSubtractShare = 0.5;

double share_of_node(const GrowOptions& options) {
  return options.share_by_level * options.share_by_node;
}

}  // namespace

NodeSplits::NodeSplits(const Shared& shared)
    : shared_(shared),
      histograms_(shared),
      subtracts_(share_of_node(shared.options) > kSubtractShare) {}

void NodeSplits::find(OpenNode& node) {
  const std::vector<int32_t> allowed = features_of(node);
  if (allowed.empty()) return;
  if (shared_.rules.criterion == Criterion::absolute) {
    const MedianSplits splits(shared_, node);
    const std::vector<int32_t> starts = slice_starts(*shared_.input.bins, allowed);
    std::vector<Split> best(starts.size());
    in_slices(allowed, starts,
              [&](const FeatureSlice& slice, size_t s) { splits.find(slice, best[s]); });
    for (Split& of_slice : best) {
      if (of_slice.better_than(node.split)) node.split = std::move(of_slice);
    }
    return;
  }
  if (node.rows.count <= kFewRows) {
    FewRowsArgs args;
    args.scan = scan_args(node, as_slice(allowed));
    args.packing = shared_.fixed.packing;
    args.rows = shared_.rows.data() + node.rows.begin;
    args.count = node.rows.count;
    args.words = shared_.fixed.output(0, shared_.input.bins->rows);
    tree_best_split_of_few(args, node.split);
    return;
  }
  node.histogram = histograms_.take(node.rows.count);
  const std::vector<int32_t>& summed = subtracts_ ? shared_.features : allowed;
  const auto parts = histograms_.sum(node.rows, as_slice(summed), node.histogram);
  const std::vector<int32_t> starts = slice_starts(*shared_.input.bins, allowed);
  if (parts.size() == 1) {
    histograms_.join(parts, as_slice(summed), as_slice(summed), node.totals);
  } else {
    in_slices(summed, subtracts_ ? shared_.starts : starts, [&](const FeatureSlice& slice, size_t) {
      histograms_.join(parts, as_slice(summed), slice, node.totals);
    });
  }
  std::vector<Split> best(starts.size());
  in_slices(allowed, starts, [&](const FeatureSlice& slice, size_t s) {
    tree_best_split(scan_args(node, slice), best[s]);
  });
  histograms_.give_back_parts(parts);
  keep_best(node, best);
  if (!subtracts_) histograms_.give_back(node.histogram);
}

void NodeSplits::find(OpenNode& small, OpenNode& large, Histogram parent, bool look_at_small) {
  small.histogram = histograms_.take(small.rows.count);
  large.histogram = histograms_.take_after(parent, large.rows.count);
  const std::vector<int32_t>& features = shared_.features;
  const auto parts = histograms_.sum(small.rows, as_slice(features), small.histogram);
  const bool all = share_of_node(shared_.options) >= 1 && shared_.options.interaction.empty();
  std::vector<Split> of_small(shared_.starts.size()), of_large(shared_.starts.size());
  in_slices(features, shared_.starts, [&](const FeatureSlice& slice, size_t s) {
    histograms_.join(parts, as_slice(features), slice, small.totals);
    histograms_.subtract(slice, parent, small.histogram, large.histogram);
    if (!all) return;
    if (look_at_small) tree_best_split(scan_args(small, slice), of_small[s]);
    tree_best_split(scan_args(large, slice), of_large[s]);
  });
  if (!all) {
    if (look_at_small) scan_allowed(small, of_small);
    scan_allowed(large, of_large);
  }
  histograms_.give_back_parts(parts);
  if (large.histogram.sums != parent.sums) histograms_.give_back(parent);
  keep_best(small, of_small);
  keep_best(large, of_large);
}

ScanArgs NodeSplits::scan_args(const OpenNode& node, const FeatureSlice& slice) const {
  ScanArgs args;
  args.bins = shared_.input.bins;
  args.slice = slice;
  args.histogram = node.histogram;
  args.outputs = shared_.input.outputs;
  args.totals = node.totals.data();
  args.rules = &shared_.rules;
  args.bounds = node.bounds;
  args.key = node.key;
  args.min_rows = shared_.options.min_child_samples;
  args.count = node.rows.count;
  return args;
}

void NodeSplits::scan_allowed(const OpenNode& node, std::vector<Split>& best) const {
  const std::vector<int32_t> allowed = features_of(node);
  const std::vector<int32_t> starts = slice_starts(*shared_.input.bins, allowed);
  best.resize(starts.size());
  in_slices(allowed, starts, [&](const FeatureSlice& slice, size_t s) {
    tree_best_split(scan_args(node, slice), best[s]);
  });
}

void NodeSplits::keep_best(OpenNode& node, std::vector<Split>& best) {
  for (Split& of_slice : best) {
    if (of_slice.better_than(node.split)) node.split = std::move(of_slice);
  }
  if (!leaves_enough_rows(node)) split_by_counts(node);
  if (node.split.feature == kNoNode) histograms_.give_back(node.histogram);
}

// Histograms hold no counts. Sums of hessians mostly tell that there are rows enough; where they
// do not, the rows of the best split are counted.
bool NodeSplits::leaves_enough_rows(const OpenNode& node) const {
  const int64_t least = shared_.options.min_child_samples;
  const FixedPoint& fixed = shared_.fixed;
  if (node.split.feature < 0 || least <= 1 || fixed.least_hessian == fixed.most_hessian) {
    return true;
  }
  const int64_t left = node.split.left[0][1];
  const int64_t right = node.totals[0][1] - left;
  if (std::min(left, right) >= least * fixed.most_hessian) return true;
  const int64_t lefts = count_lefts(*shared_.input.bins, node.split,
                                    shared_.rows.data() + node.rows.begin, node.rows.count);
  return std::min(lefts, node.rows.count - lefts) >= least;
}

// The best split of a node whose children have rows enough, by counting them in every bin.
void NodeSplits::split_by_counts(OpenNode& node) {
  node.split = {};
  const std::vector<int32_t> allowed = features_of(node);
  Histogram counts = histograms_.count(node.rows, as_slice(allowed));
  ScanArgs scan = scan_args(node, as_slice(allowed));
  scan.counts = counts;
  tree_best_split(scan, node.split);
  histograms_.give_back(counts);
}

}  // namespace pyllm::trees
