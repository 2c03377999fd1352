// Arrays as stacks of matrices: the last two axes are rows and columns, the others are merged into
// the rows where strides allow it and walked otherwise, so that no layout needs a copy.
#pragma once

#include <initializer_list>
#include <vector>

#include "core/array.h"
#include "cpu/product.h"

namespace pyllm {

inline Matrix matrix(const Array& a, int64_t offset, int64_t rows, int64_t row_stride) {
  return {static_cast<char*>(a.data) + offset * int64_t(size_of(a.dtype)),
          a.dtype,
          rows,
          a.shape[a.ndim - 1],
          row_stride,
          a.strides[a.ndim - 1]};
}

// Leading axes of `a` from `first` on act as one axis of one stride.
inline bool rows_merge_from(const Array& a, int first) {
  int64_t expected = -1;
  for (int i = a.ndim - 2; i >= first; --i) {
    if (a.shape[i] == 1) continue;
    if (expected >= 0 && a.strides[i] != expected) return false;
    expected = a.strides[i] * a.shape[i];
  }
  return true;
}

// The same split of several arrays with equal leading axes (... rows ..., columns): a list of
// pieces, each a range of rows [row, row + rows) and its offset in every array.
class RowPieces {
 public:
  explicit RowPieces(std::initializer_list<const Array*> arrays) {
    const Array& shape = **arrays.begin();
    const int leading = shape.ndim - 1;
    int first = 0;
    for (const Array* a : arrays) {
      while (a && !rows_merge_from(*a, first)) ++first;
    }
    for (int i = 0; i < first; ++i) count_ *= shape.shape[i];
    for (int i = first; i < leading; ++i) rows_ *= shape.shape[i];
    first_ = first;
    leading_ = leading;
  }

  int64_t count() const { return rows_ == 0 ? 0 : count_; }
  int64_t rows() const { return rows_; }  // of each piece

  Matrix piece(const Array& a, int64_t index) const {
    int64_t offset = 0;
    for (int i = first_ - 1; i >= 0; --i) {
      offset += index % a.shape[i] * a.strides[i];
      index /= a.shape[i];
    }
    int64_t row_stride = a.shape[a.ndim - 1];
    for (int i = leading_ - 1; i >= first_; --i) {
      if (a.shape[i] == 1) continue;
      row_stride = a.strides[i];
      break;
    }
    return matrix(a, offset, rows_, row_stride);
  }

 private:
  int first_ = 0, leading_ = 0;
  int64_t count_ = 1, rows_ = 1;
};

}  // namespace pyllm
