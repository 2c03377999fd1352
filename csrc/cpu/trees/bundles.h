#pragma once

#include <cstdint>
#include <vector>

#include "cpu/trees/sparse_codes.h"

namespace pyllm::trees {

// A feature that may share a column.
struct Candidate {
  const SparseCodes* listed = nullptr;
  int32_t codes = 0;  // that its column stores for it: all but the usual one
};

// Splits the candidates into sets of up to `codes` codes, no two members of which have a row in
// common. Members rise, and the sets by their lowest one.
std::vector<std::vector<int32_t>> find_bundles(const std::vector<Candidate>& candidates,
                                               int64_t rows, int32_t codes);

}  // namespace pyllm::trees
