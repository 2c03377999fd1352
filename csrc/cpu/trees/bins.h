// A binned data set as the tree grower sees it.
//
// Each feature is cut into bins; a row keeps the bin's number, its code. Codes are kept twice:
//   row-major     histograms walk rows and want all features of a row in one cache line
//   column-major  the partition of a node's rows looks at one feature
// Features of at most 256 codes take a byte, the others two; each kind is a matrix of its own.
#pragma once

#include <cstdint>
#include <vector>

namespace pyllm::trees {

struct Feature {
  int32_t bins = 0;      // codes [0, bins) are values, in order (categories: of their numbers)
  bool missing = false;  // code `bins` stands for a missing value
  bool categorical = false;
  bool wide = false;   // in the matrix of two-byte codes
  int32_t column = 0;  // in its matrix
  int32_t offset = 0;  // of its first bin in a histogram

  int32_t codes() const { return bins + (missing ? 1 : 0); }
};

template <class Code>
struct CodeMatrix {
  const Code* by_row = nullptr;     // (rows, stride)
  const Code* by_column = nullptr;  // (columns, rows)
  int64_t stride = 0;
};

struct Bins {
  int64_t rows = 0;
  CodeMatrix<uint8_t> narrow;
  CodeMatrix<uint16_t> wide;
  std::vector<Feature> features;
  int64_t total = 0;  // bins of all features: the length of a histogram
};

}  // namespace pyllm::trees
