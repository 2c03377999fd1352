#pragma once

#include <cstdint>
#include <vector>

#include "cpu/trees/sparse_codes.h"

namespace pyllm::trees {

// A feature that may share a column.
struct Candidate {
  const SparseCodes* listed = nullptr;
  int32_t codes = 0;  // how many a column must hold for it, besides that of all features' usual
};

constexpr int32_t kBundleCodes = 255;  // besides that one

// Splits the candidates into sets no two of which have a row in common; members rising, sets by
// their lowest one.
std::vector<std::vector<int32_t>> find_bundles(const std::vector<Candidate>& candidates,
                                               int64_t rows);

}  // namespace pyllm::trees
