// Features of which most rows have the same code, listed row by row: a histogram adds only the
// other codes; what the common one's rows sum to is the node's sum less theirs.
#pragma once

#include <cstdint>

#include "core/scratch.h"
#include "cpu/trees/bins.h"
#include "cpu/trees/histogram.h"

namespace pyllm::trees {

struct SparseRows {
  int32_t features = 0;      // that are listed
  Scratch<uint32_t> offset;  // (rows + 1), of a row's first place
  Scratch<uint32_t> place;   // in a histogram, of each code that is not common
};

// Lists the features that are worth it, if there are enough.
void list_sparse_rows(Bins& bins);

// Whether histograms of these features are summed from the lists: all that are listed are wanted.
bool sums_lists(const Bins& bins, const FeatureSlice& slice);

}  // namespace pyllm::trees
