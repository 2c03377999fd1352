// Places of the largest or smallest elements of the rows of a matrix.
#pragma once

#include <cstdint>

// y_r = the column of the first extremum of row r, or of its first NaN if it has one.
struct ExtremumPlaces {
  const void* x;    // (rows, columns), contiguous; at least one column
  int64_t* y;       // (rows,)
  float* values;    // (rows, chunks), with `places` the extrema of chunks; null with one chunk
  int64_t* places;  // (rows, chunks)
  int64_t rows, columns, chunks;
  int32_t dtype;
  bool smallest;
};
