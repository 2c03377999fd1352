#pragma once

#include <cstdint>

#include "core/isa.h"
#include "cpu/trees/bins.h"
#include "cpu/trees/sums.h"

namespace pyllm::trees {

// The features that one task looks at: narrow ones first, those of a column together.
struct FeatureSlice {
  const int32_t* features = nullptr;
  int32_t count = 0;
};

// Calls f on a feature of each column that the features of a slice are in.
template <class F>
void for_each_column(const Bins& bins, const FeatureSlice& slice, F&& f) {
  const Feature* last = nullptr;
  for (int32_t i = 0; i < slice.count; ++i) {
    const Feature& feature = bins.features[slice.features[i]];
    if (last && feature.shares_column(*last)) continue;
    f(feature);
    last = &feature;
  }
}

// Sums per bin over some rows.
struct HistogramArgs {
  const Bins* bins = nullptr;
  FeatureSlice slice;
  const int32_t* rows = nullptr;
  bool consecutive = false;  // rows[i] = rows[0] + i
  int64_t count = 0;
  Packing packing = Packing::bits32;
  const void* words = nullptr;       // by row
  int64_t block = 0;                 // rows whose packed sums cannot overflow
  Packing result = Packing::bits32;  // as packing (count <= block then) or wider
  void* sums = nullptr;              // out, Bins::total long
};

// A histogram and how it is packed.
struct Histogram {
  void* sums = nullptr;
  Packing packing = Packing::bits64;
};

}  // namespace pyllm::trees

namespace pyllm {
PYLLM_KERNEL(tree_histogram, (const trees::HistogramArgs& args));

// Where sums_lists (sparse_rows.h): the sums of common codes, from the node's.
PYLLM_KERNEL(tree_fill_common, (const trees::Bins& bins, const trees::FeatureSlice& slice,
                                const trees::Pair& total, const trees::Histogram& histogram));

// into += from on the bins of a slice; both are packed alike.
PYLLM_KERNEL(tree_add, (const trees::Bins& bins, const trees::FeatureSlice& slice,
                        const trees::Histogram& from, const trees::Histogram& into));

// sibling = parent - child on the bins of a slice; sibling may be the parent.
PYLLM_KERNEL(tree_subtract, (const trees::Bins& bins, const trees::FeatureSlice& slice,
                             const trees::Histogram& parent, const trees::Histogram& child,
                             const trees::Histogram& sibling));
}  // namespace pyllm
