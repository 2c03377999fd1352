#pragma once

#include <cstdint>
#include <vector>

#include "core/array.h"
#include "cpu/trees/csr.h"

namespace pyllm::trees {

// A sparse matrix stored by columns; entries that are not stored are 0.
struct CscMatrix {
  Array data;                       // float32 or float64
  Array indices;                    // int32 or int64, rows, rising within a column
  const int64_t* offset = nullptr;  // of a column's first entry
};

// The rows that decide the cuts.
struct RowSample {
  const uint8_t* times = nullptr;  // by row, how often it was drawn; null: all, once
  const double* weight = nullptr;  // by row; null: 1 each
  int64_t rows = 0;                // drawn
  double total = 0;                // what they weigh
};

// The cuts (quantile_cuts) of some columns.
std::vector<std::vector<double>> column_cuts(const CscMatrix& matrix, const RowSample& sample,
                                             const std::vector<int32_t>& columns, int32_t max_bin);

// The cuts of all features, from the entries of drawn rows alone, set in order by feature.
std::vector<std::vector<double>> csr_cuts(const CsrMatrix& matrix, const RowSample& sample,
                                          int32_t max_bin);

}  // namespace pyllm::trees
