// A sparse matrix stored by rows, and how its rows are shared out among tasks that count by
// feature.
#pragma once

#include <cstdint>
#include <vector>

#include "core/array.h"

namespace pyllm::trees {

struct CsrMatrix {
  Array data;                       // float32 or float64; entries that are not stored are 0
  Array indices;                    // int32 or int64, features, rising within a row
  const int64_t* offset = nullptr;  // (rows + 1), of a row's first entry
  int64_t rows = 0;
  int32_t features = 0;

  int64_t entries() const { return offset[rows] - offset[0]; }
};

// Calls body with null pointers of the types of a matrix: (const T*, const Index*).
template <class Body>
auto with_types(const Array& data, const Array& indices, Body&& body) {
  const auto with_index = [&](auto* values) {
    return indices.dtype == DType::i64 ? body(values, static_cast<const int64_t*>(nullptr))
                                       : body(values, static_cast<const int32_t*>(nullptr));
  };
  return data.dtype == DType::f64 ? with_index(static_cast<const double*>(nullptr))
                                  : with_index(static_cast<const float*>(nullptr));
}

// Where consecutive ranges of rows begin, and the end: a few for each thread, of about the same
// work, and not so many that a number by range and feature takes the memory of the matrix.
std::vector<int64_t> row_ranges(const CsrMatrix& matrix);

// Whether the features of each row rise within those of the matrix; how many rows store each.
bool count_stored(const CsrMatrix& matrix, std::vector<int64_t>& stored);

}  // namespace pyllm::trees
