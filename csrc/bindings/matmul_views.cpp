#include "bindings/matmul_views.h"

#include <algorithm>
#include <string>

namespace pyllm::bind {
namespace {

void swap_last_axes(Array& a) {
  std::swap(a.shape[a.ndim - 1], a.shape[a.ndim - 2]);
  std::swap(a.strides[a.ndim - 1], a.strides[a.ndim - 2]);
}

// Puts an axis of length 1 in front, or at the end.
void add_axis(Array& a, bool front) {
  if (front) {
    std::copy_backward(a.shape.begin(), a.shape.begin() + a.ndim, a.shape.begin() + a.ndim + 1);
    std::copy_backward(a.strides.begin(), a.strides.begin() + a.ndim,
                       a.strides.begin() + a.ndim + 1);
  }
  a.shape[front ? 0 : a.ndim] = 1;
  a.strides[front ? 0 : a.ndim] = 0;
  ++a.ndim;
}

// Leading axes repeated (stride 0) to those of a stack of `batch`.
Array stacked(const Array& a, const std::vector<int64_t>& batch) {
  Array view = a;
  view.ndim = static_cast<int>(batch.size()) + 2;
  const int missing = view.ndim - a.ndim;
  for (int i = 0; i < view.ndim; ++i) {
    const bool leading = i < view.ndim - 2;
    const int64_t own = i < missing ? 1 : a.shape[i - missing];
    view.shape[i] = leading ? batch[i] : own;
    view.strides[i] = leading && own == 1 ? 0 : a.strides[i - missing];
  }
  return view;
}

}  // namespace

MatmulViews::MatmulViews(const Argument& a, const Argument& b, bool transpose_a, bool transpose_b)
    : a_(a.view()), b_(b.view()), a_is_row_(a->ndim == 1), b_is_column_(b->ndim == 1) {
  const std::string shapes =
      "shapes " + shape_string(a.shape()) + " and " + shape_string(b.shape());
  if (a->ndim == 0 || b->ndim == 0) {
    fail_value("matmul", "expected at least one axis each, got " + shapes);
  }
  if ((transpose_a && a_is_row_) || (transpose_b && b_is_column_)) {
    fail_value(transpose_a && a_is_row_ ? "transpose_a" : "transpose_b",
               "needs an argument of at least two axes, got " + shapes);
  }
  if (a_is_row_) add_axis(a_, true);
  if (b_is_column_) add_axis(b_, false);
  if (transpose_a) swap_last_axes(a_);
  if (transpose_b) swap_last_axes(b_);
  const int64_t inner = a_.shape[a_.ndim - 1];
  if (inner != b_.shape[b_.ndim - 2]) {
    fail_value("matmul", "the inner axes of a and b differ, " + std::to_string(inner) + " and " +
                             std::to_string(b_.shape[b_.ndim - 2]) + " (" + shapes +
                             (transpose_a ? ", a transposed" : "") +
                             (transpose_b ? ", b transposed" : "") + ")");
  }
  std::vector<int64_t> batch(std::max(a_.ndim, b_.ndim) - 2);
  for (size_t i = 0; i < batch.size(); ++i) {
    const auto length = [&](const Array& x) {
      const int axis = static_cast<int>(i) - int(batch.size()) + x.ndim - 2;
      return axis < 0 ? int64_t{1} : x.shape[axis];
    };
    const int64_t left = length(a_), right = length(b_);
    if (left != right && left != 1 && right != 1) {
      fail_value("matmul", "the leading axes of a and b do not broadcast (" + shapes + ")");
    }
    batch[i] = left == 1 ? right : left;
  }
  shape_ = batch;
  if (!a_is_row_) shape_.push_back(a_.shape[a_.ndim - 2]);
  if (!b_is_column_) shape_.push_back(b_.shape[b_.ndim - 1]);
  a_ = stacked(a_, batch);
  b_ = stacked(b_, batch);
}

Array MatmulViews::result(const Array& c) const {
  Array view = c;
  if (a_is_row_) {  // the row axis that NumPy drops, put back in its place
    add_axis(view, true);
    if (!b_is_column_) {
      for (int i = 0; i + 1 < view.ndim - 1; ++i) {
        std::swap(view.shape[i], view.shape[i + 1]);
        std::swap(view.strides[i], view.strides[i + 1]);
      }
    }
  }
  if (b_is_column_) add_axis(view, false);
  return view;
}

}  // namespace pyllm::bind
