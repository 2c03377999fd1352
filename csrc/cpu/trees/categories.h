#pragma once

#include <cstdint>
#include <vector>

#include "cpu/trees/split.h"

namespace pyllm::trees {

// One categorical feature in one node.
struct CategoryColumn {
  int32_t feature = 0;
  int32_t bins = 0;                // categories; code `bins` is missing
  const int32_t* codes = nullptr;  // that occur, rising, missing included
  int32_t count = 0;               // how many
  const Pair* sums = nullptr;      // of these codes, by output, `stride` apart
  int64_t stride = 0;
  const int64_t* rows = nullptr;  // of these codes; null: not counted
};

inline bool holds(const std::vector<uint32_t>& bits, int32_t code) {
  return static_cast<size_t>(code / 32) < bits.size() && (bits[code / 32] >> code % 32 & 1) != 0;
}

}  // namespace pyllm::trees

namespace pyllm::PYLLM_ISA {
// Betters `best` if a partition of the categories does.
void best_category_split(const trees::CategoryColumn& column, const trees::ScanArgs& args,
                         trees::Split& best);
}  // namespace pyllm::PYLLM_ISA
