#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "core/parallel.h"
#include "cpu/trees/histogram_pool.h"
#include "cpu/trees/node_values.h"
#include "cpu/trees/shared.h"

namespace pyllm::trees {

inline FeatureSlice as_slice(const std::vector<int32_t>& features) {
  return {features.data(), static_cast<int32_t>(features.size())};
}

// Calls body(slice, its number) for slices that start as slice_starts says. The last go first:
// columns of many bins, which take longest, stand there.
template <class Body>
void in_slices(const std::vector<int32_t>& features, const std::vector<int32_t>& starts,
               Body&& body) {
  const auto slices = static_cast<int64_t>(starts.size()) - 1;
  parallel_tasks(slices, [&](int64_t task) {
    const int64_t s = slices - 1 - task;
    body(FeatureSlice{features.data() + starts[s], starts[s + 1] - starts[s]},
         static_cast<size_t>(s));
  });
}

// Histograms of nodes: for each output, the sums of the node's rows by feature and bin.
class NodeHistograms {
 public:
  explicit NodeHistograms(const Shared& shared)
      : shared_(shared), pool_(shared.input.bins->total * shared.input.outputs) {}

  Histogram take(int64_t rows) { return pool_.take(packing_of(rows)); }
  void give_back(Histogram& histogram) { pool_.give_back(histogram); }

  // The larger child's histogram takes the parent's place where it is packed alike.
  Histogram take_after(Histogram parent, int64_t rows) {
    return packing_of(rows) == parent.packing ? parent : take(rows);
  }

  // Sums rows into `into`, in parts by rows: the first part is `into`, to be joined with the
  // others, for the slices of all the features that were summed. totals: of the rows.
  std::vector<Histogram> sum(Segment rows, const FeatureSlice& slice, Histogram into);
  void join(const std::vector<Histogram>& parts, const FeatureSlice& summed,
            const FeatureSlice& slice, const std::vector<Pair>& totals) const;
  void give_back_parts(std::vector<Histogram> parts);

  // sibling = parent - child; sibling may be the parent.
  void subtract(const FeatureSlice& slice, Histogram parent, Histogram child,
                Histogram sibling) const;

  // How many rows of a segment there are by bin, in the place of the hessians.
  Histogram count(Segment rows, const FeatureSlice& slice);

 private:
  Packing packing_of(int64_t rows) const {
    const FixedPoint& fixed = shared_.fixed;
    return rows <= fixed.block ? fixed.packing : fixed.sums_packing;
  }
  Histogram output(Histogram histogram, int32_t o) const;

  const Shared& shared_;
  HistogramPool pool_;
  Scratch<int32_t> ones_;  // by row, made when first counted
};

}  // namespace pyllm::trees
