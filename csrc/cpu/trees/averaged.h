// Trees that are grown apart and averaged: leaves hold the mean of their rows.
#pragma once

#include <cstdint>
#include <vector>

#include "core/parallel.h"
#include "cpu/trees/bootstrap.h"
#include "cpu/trees/grow.h"
#include "cpu/trees/joined.h"

namespace pyllm::trees {

struct AveragedInput {
  const Bins* bins = nullptr;
  const double* columns = nullptr;  // (rows, outputs): what leaves hold the mean of
  const float* target = nullptr;    // the same, centred and rounded: what splits go by
  int32_t outputs = 1;
  const double* weight = nullptr;        // by row; null: 1. Not counted again where rows are drawn
  const Bootstrap* bootstrap = nullptr;  // null: every tree takes all rows
  std::vector<uint64_t> seeds;           // by tree
  int32_t* leaf_of_row = nullptr;        // out, (trees, rows); null: not wanted
  int32_t* drawn = nullptr;              // out, (trees, rows), how often each was; null: not wanted
};

// Several trees at a time, one a thread, where there are enough of them; the result is the same at
// any number of threads. checkpoint, given how many are done, is called by the calling thread
// alone. What it throws stops the growing and is thrown again; `trees` are the first ones then, no
// fewer than it was told were done.
void grow_averaged(const AveragedInput& input, const GrowOptions& options,
                   FunctionRef<void(int64_t)> checkpoint, JoinedTrees& trees);

}  // namespace pyllm::trees
