// A binned data set as the tree grower sees it.
//
// Each feature is cut into bins; a row keeps the bin's number, its code. Codes are kept twice:
//   row-major     histograms walk rows and want all features of a row in one cache line
//   column-major  the partition of a node's rows looks at one feature
// Columns of at most 256 codes take a byte, the others two; each kind is a matrix of its own.
//
// A bundle is a column of several features, of which a row has at most one that is not in its usual
// bin (bundles.h). Code 0 says that all are; each feature has codes of its own for its other bins.
// Histograms are summed by column: the sum of a usual bin is the node's less those of the others.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

namespace pyllm::trees {

constexpr int32_t kNarrowBins = 255;  // of a feature whose codes take a byte

struct Feature {
  int32_t bins = 0;      // codes [0, bins) are values, in order (categories: of their numbers)
  bool missing = false;  // code `bins` stands for a missing value
  bool categorical = false;
  bool wide = false;    // in the matrix of two-byte codes
  int32_t column = 0;   // in its matrix
  int32_t offset = 0;   // of its column in a histogram
  int32_t stored = 0;   // codes of its column
  int32_t first = 0;    // in a bundle: its first code there
  int32_t usual = -1;   // in a bundle: the code that is not stored; else -1
  int32_t common = -1;  // where only other codes are listed (sparse_rows.h): the one of most rows

  int32_t codes() const { return bins + (missing ? 1 : 0); }
  bool bundled() const { return usual >= 0; }

  // The feature's code in a row, from that of its column.
  int32_t code(int32_t column_code) const {
    if (!bundled()) return column_code;
    const int32_t i = column_code - first;
    return i < 0 || i >= codes() - 1 ? usual : i + (i >= usual ? 1 : 0);
  }

  bool shares_column(const Feature& other) const {
    return column == other.column && wide == other.wide;
  }
};

template <class Code>
struct CodeMatrix {
  const Code* by_row = nullptr;     // (rows, stride)
  const Code* by_column = nullptr;  // (columns, rows)
  int64_t stride = 0;
};

// The same while it is filled.
template <class Code>
struct CodeStore {
  Code* by_row = nullptr;
  Code* by_column = nullptr;
  int64_t stride = 0;
};

struct SparseRows;

struct Bins {
  int64_t rows = 0;
  CodeMatrix<uint8_t> narrow;
  CodeMatrix<uint16_t> wide;
  std::vector<Feature> features;
  int64_t total = 0;                         // bins of all features: the length of a histogram
  std::shared_ptr<const SparseRows> sparse;  // may be null
};

}  // namespace pyllm::trees
