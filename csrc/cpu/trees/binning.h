#pragma once

#include <cstdint>
#include <vector>

#include "core/array.h"
#include "core/isa.h"
#include "cpu/trees/bins.h"

namespace pyllm::trees {

// Upper limits of all bins but the last: at most max_bin - 1, rising, each midway between two
// values. values: sorted, finite or infinite, n long; weights may be null.
std::vector<double> quantile_cuts(const double* values, const double* weights, int64_t n,
                                  int32_t max_bin);

// One column of codes to write, in both layouts.
struct CodeColumn {
  std::vector<double> cuts;
  bool wide = false;
  int32_t column = 0;        // negative: leave it out
  bool saw_missing = false;  // out
};

struct BinArgs {
  Array x;  // (rows, features), float32 or float64, any strides
  std::vector<CodeColumn> columns;
  int64_t first = 0;  // row of the data set that x's first row is
  int64_t rows = 0;   // of the data set
  CodeStore<uint8_t> narrow;
  CodeStore<uint16_t> wide;
};

}  // namespace pyllm::trees

namespace pyllm {
// A value's code is the number of cuts below it; NaN gets the code after the last bin.
PYLLM_KERNEL(tree_bin, (trees::BinArgs & args));
}  // namespace pyllm
