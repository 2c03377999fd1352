// Rows of a table by number, out of it or into it: the bits of elements of any type.
#pragma once

#include <cstdint>

// Gather: to_r = from[numbers_r], zeros where the number is out of range; `from` is the table.
// Scatter: to[numbers_r] = from_r, but for numbers out of range; `to` is the table, and no number
// stands there twice. All arrays are contiguous.
struct RowsByNumber {
  const void* from;
  void* to;
  const int64_t* numbers;        // (rows,)
  int64_t rows, entries, width;  // the table is (entries, width)
  int32_t item;                  // bytes of an element: 1, 2, 4 or 8
  bool scatter;
};
