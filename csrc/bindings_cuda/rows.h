// Arrays as the rows of a matrix, which is how launchers see them.
#pragma once

#include "bindings_cuda/arrays.h"

namespace pyllm::bind_cuda {

// rows of n elements next to one another, `stride` elements apart.
struct Rows {
  void* data = nullptr;
  int64_t rows = 1, n = 1, stride = 1;
};

// All axes but the last are rows. An array whose strides do not fit is copied first.
Rows read_rows(Call& call, const Array& a);
// The same with `axis` last.
Rows read_rows(Call& call, const Array& a, int axis);

// Rows to write: the array's own, or a copy that finish() puts in its place.
class RowsToWrite {
 public:
  RowsToWrite(Call& call, const Array& a) : RowsToWrite(call, a, a.ndim - 1) {}
  RowsToWrite(Call& call, const Array& a, int axis);

  const Rows& rows() const { return rows_; }
  void finish(Call& call) const;

 private:
  Rows rows_;
  Array target_, copy_;
};

// Contiguous, not initialised, for the length of the call.
Array workspace_like(Call& call, const Array& a);

// A contiguous array in place of `a`: itself, or a copy of it.
Array read_contiguous(Call& call, const Array& a);

}  // namespace pyllm::bind_cuda
