#include "bindings_cuda/rows.h"

#include <algorithm>
#include <optional>

namespace pyllm::bind_cuda {
namespace {

Array with_axis_last(const Array& a, int axis) {
  Array moved = a;
  for (int i = axis; i + 1 < a.ndim; ++i) {
    std::swap(moved.shape[i], moved.shape[i + 1]);
    std::swap(moved.strides[i], moved.strides[i + 1]);
  }
  return moved;
}

// Nothing where no one stride leads from each row to the next.
std::optional<Rows> as_rows(const Array& a) {
  Rows r{a.data, 1, a.ndim > 0 ? a.shape[a.ndim - 1] : 1, 0};
  if (a.size() == 0) {
    for (int i = 0; i + 1 < a.ndim; ++i) r.rows *= a.shape[i];
    r.stride = std::max<int64_t>(r.n, 1);
    return r;
  }
  if (r.n > 1 && a.strides[a.ndim - 1] != 1) return std::nullopt;
  bool first = true;
  int64_t expected = 0;
  for (int i = a.ndim - 2; i >= 0; --i) {
    if (a.shape[i] == 1) continue;
    if (first) {
      r.stride = a.strides[i];
    } else if (a.strides[i] != expected) {
      return std::nullopt;
    }
    first = false;
    r.rows *= a.shape[i];
    expected = a.strides[i] * a.shape[i];
  }
  if (first) r.stride = std::max<int64_t>(r.n, 1);
  return r;
}

}  // namespace

Array workspace_like(Call& call, const Array& a) {
  Array made = a;
  bind::contiguous_strides(made);
  made.data = call.workspace(static_cast<size_t>(a.size()) * size_of(a.dtype));
  return made;
}

Array read_contiguous(Call& call, const Array& a) {
  if (a.is_contiguous()) return a;
  const Array copy = workspace_like(call, a);
  call.copy(a, copy);
  return copy;
}

Rows read_rows(Call& call, const Array& a) {
  if (const auto rows = as_rows(a)) return *rows;
  return *as_rows(read_contiguous(call, a));
}

Rows read_rows(Call& call, const Array& a, int axis) {
  return read_rows(call, with_axis_last(a, axis));
}

RowsToWrite::RowsToWrite(Call& call, const Array& a, int axis)
    : target_(with_axis_last(a, axis)), copy_(target_) {
  auto rows = as_rows(target_);
  if (!rows) {
    copy_ = workspace_like(call, target_);
    rows = as_rows(copy_);
  }
  rows_ = *rows;
}

void RowsToWrite::finish(Call& call) const {
  if (copy_.data != target_.data) call.copy(copy_, target_);
}

}  // namespace pyllm::bind_cuda
