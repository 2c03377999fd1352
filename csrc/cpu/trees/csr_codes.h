// Codes straight from a matrix stored by rows, in passes over ranges of them: how many rows of a
// feature differ from the code of zero, which ones they are (to find bundles), then all columns.
#pragma once

#include <cstdint>
#include <vector>

#include "core/isa.h"
#include "cpu/trees/csr.h"
#include "cpu/trees/sparse_codes.h"

namespace pyllm::trees {

// What differs, by range of rows and feature.
struct CsrCounts {
  std::vector<int64_t> begins;               // of ranges (row_ranges)
  std::vector<std::vector<int32_t>> counts;  // by range, of entries that do not have the usual code
  std::vector<uint8_t> missing;              // by feature, whether a row misses it

  int64_t of(int32_t feature) const {
    int64_t sum = 0;
    for (const auto& range : counts) sum += range[feature];
    return sum;
  }
};

struct CountEntriesArgs {
  CsrMatrix matrix;
  const std::vector<SparseCodes>* features = nullptr;  // cuts and usual: the code of zero, a bin
  CsrCounts* result = nullptr;
};

// Rows that differ, of features that have a place to list them.
struct ListEntriesArgs {
  CsrMatrix matrix;
  const std::vector<SparseCodes>* features = nullptr;
  const CsrCounts* counts = nullptr;
  std::vector<int32_t*> rows;  // by feature, as many as differ; null: not wanted
};

// Columns of both matrices, all of them, in both layouts.
struct StoreEntriesArgs {
  CsrMatrix matrix;
  const std::vector<SparseCodes>* features = nullptr;
  StoreArgs columns;  // members are among the features
};

}  // namespace pyllm::trees

namespace pyllm {
PYLLM_KERNEL(tree_count_entries, (const trees::CountEntriesArgs& args));
PYLLM_KERNEL(tree_list_entries, (const trees::ListEntriesArgs& args));
PYLLM_KERNEL(tree_store_entries, (const trees::StoreEntriesArgs& args));
}  // namespace pyllm
