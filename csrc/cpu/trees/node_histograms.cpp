#include "cpu/trees/node_histograms.h"

#include <algorithm>

#include "cpu/trees/sparse_rows.h"

namespace pyllm::trees {
namespace {

constexpr int64_t kSumGrain = 512;  // rows that a thread sums at least

}  // namespace

Histogram NodeHistograms::output(Histogram histogram, int32_t o) const {
  const int64_t word = with_word(histogram.packing, [](auto w) { return sizeof w; });
  histogram.sums = static_cast<char*>(histogram.sums) + o * shared_.input.bins->total * word;
  return histogram;
}

std::vector<Histogram> NodeHistograms::sum(Segment rows, const FeatureSlice& slice,
                                           Histogram into) {
  const Bins& bins = *shared_.input.bins;
  const FixedPoint& fixed = shared_.fixed;
  const int64_t count = std::clamp<int64_t>(rows.count / kSumGrain, 1, num_threads());
  std::vector<Histogram> parts{into};
  while (static_cast<int64_t>(parts.size()) < count) parts.push_back(pool_.take(into.packing));
  parallel_tasks(count, [&](int64_t part) {
    const int64_t begin = rows.count * part / count, end = rows.count * (part + 1) / count;
    HistogramArgs args;
    args.bins = &bins;
    args.slice = slice;
    args.rows = shared_.rows.data() + rows.begin + begin;
    args.consecutive = rows.count == bins.rows;
    args.count = end - begin;
    args.packing = fixed.packing;
    args.block = fixed.block;
    args.result = into.packing;
    for (int32_t o = 0; o < shared_.input.outputs; ++o) {
      args.words = fixed.output(o, bins.rows);
      args.sums = output(parts[part], o).sums;
      tree_histogram(args);
    }
  });
  return parts;
}

void NodeHistograms::join(const std::vector<Histogram>& parts, const FeatureSlice& summed,
                          const FeatureSlice& slice, const std::vector<Pair>& totals) const {
  const Bins& bins = *shared_.input.bins;
  const bool lists = sums_lists(bins, summed);
  for (int32_t o = 0; o < shared_.input.outputs; ++o) {
    for (size_t part = 1; part < parts.size(); ++part) {
      tree_add(bins, slice, output(parts[part], o), output(parts[0], o));
    }
    if (lists) tree_fill_common(bins, slice, totals[o], output(parts[0], o));
  }
}

void NodeHistograms::give_back_parts(std::vector<Histogram> parts) {
  for (size_t part = 1; part < parts.size(); ++part) pool_.give_back(parts[part]);
}

void NodeHistograms::subtract(const FeatureSlice& slice, Histogram parent, Histogram child,
                              Histogram sibling) const {
  for (int32_t o = 0; o < shared_.input.outputs; ++o) {
    tree_subtract(*shared_.input.bins, slice, output(parent, o), output(child, o),
                  output(sibling, o));
  }
}

Histogram NodeHistograms::count(Segment rows, const FeatureSlice& slice) {
  const Bins& bins = *shared_.input.bins;
  if (!ones_.data()) {
    ones_ = Scratch<int32_t>(bins.rows);
    std::fill_n(ones_.data(), bins.rows, 1);
  }
  HistogramArgs args;
  args.bins = &bins;
  args.slice = slice;
  args.rows = shared_.rows.data() + rows.begin;
  args.count = rows.count;
  args.packing = Packing::bits16;
  args.words = ones_.data();
  args.block = INT16_MAX;
  args.result = rows.count <= args.block ? Packing::bits16 : Packing::bits32;
  const Histogram counts = pool_.take(args.result);
  args.sums = counts.sums;
  tree_histogram(args);
  if (sums_lists(bins, slice)) tree_fill_common(bins, slice, Pair{0, rows.count}, counts);
  return counts;
}

}  // namespace pyllm::trees
