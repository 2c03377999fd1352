#include "bindings/argument.h"

#include <algorithm>

namespace pyllm::bind {
namespace {

// Lowest and one past the highest byte a view touches.
std::pair<const char*, const char*> extent(const Array& a) {
  const auto* low = static_cast<const char*>(a.data);
  const char* high = low;
  if (a.size() == 0) return {low, low};
  const auto item = static_cast<int64_t>(size_of(a.dtype));
  for (int i = 0; i < a.ndim; ++i) {
    const int64_t reach = (a.shape[i] - 1) * a.strides[i] * item;
    (reach < 0 ? low : high) += reach;
  }
  return {low, high + item};
}

std::string dtype_list(std::initializer_list<DType> dtypes) {
  std::string text;
  for (const DType d : dtypes) text += (text.empty() ? "" : ", ") + std::string(name_of(d));
  return text;
}

// Do two views of one shape and strides lie in different columns of the rows of one buffer?
bool in_columns_apart(const Array& a, const Array& b) {
  const int last = a.ndim - 1;
  if (a.ndim < 2 || a.ndim != b.ndim || a.dtype != b.dtype || a.strides[last] != 1) return false;
  const int64_t width = a.shape[last], pitch = a.strides[last - 1];
  for (int i = 0; i < a.ndim; ++i) {
    if (a.shape[i] != b.shape[i] || a.strides[i] != b.strides[i]) return false;
    if (i < last && (pitch < width || a.strides[i] % pitch != 0)) return false;
  }
  const int64_t distance = (static_cast<const char*>(b.data) - static_cast<const char*>(a.data)) /
                           static_cast<int64_t>(size_of(a.dtype));
  const int64_t column = (distance % pitch + pitch) % pitch;
  return column >= width && pitch - column >= width;
}

}  // namespace

void fail_value(const char* name, const std::string& problem) {
  throw py::value_error(std::string(name) + ": " + problem);
}
void fail_type(const char* name, const std::string& problem) {
  throw py::type_error(std::string(name) + ": " + problem);
}

const Argument& Argument::require_float() const {
  if (!is_float(view_.dtype)) {
    fail_type(name_, std::string("expected float32, bfloat16, float16 or float64, got ") +
                         name_of(view_.dtype));
  }
  return *this;
}

const Argument& Argument::require_dtype(std::initializer_list<DType> allowed) const {
  if (std::find(allowed.begin(), allowed.end(), view_.dtype) == allowed.end()) {
    fail_type(name_, "expected dtype " + dtype_list(allowed) + ", got " + name_of(view_.dtype));
  }
  return *this;
}

const Argument& Argument::require_same_dtype(const Argument& other) const {
  if (view_.dtype != other.view_.dtype) {
    fail_type(name_, std::string("expected the dtype of ") + other.name_ + ", " +
                         name_of(other.view_.dtype) + ", got " + name_of(view_.dtype));
  }
  return *this;
}

const Argument& Argument::require_ndim(int ndim) const {
  if (view_.ndim != ndim) {
    fail_value(name_,
               "expected " + std::to_string(ndim) + " axes, got shape " + shape_string(shape()));
  }
  return *this;
}

const Argument& Argument::require_shape(std::span<const int64_t> expected) const {
  if (!std::equal(expected.begin(), expected.end(), shape().begin(), shape().end())) {
    fail_value(name_,
               "expected shape " + shape_string(expected) + ", got " + shape_string(shape()));
  }
  return *this;
}

const Argument& Argument::require_shape(std::initializer_list<int64_t> expected) const {
  return require_shape(std::span(expected.begin(), expected.size()));
}

const Argument& Argument::require_contiguous() const {
  if (!view_.is_contiguous()) fail_value(name_, "expected a C-contiguous array");
  return *this;
}

const Argument& Argument::require_writable() const {
  if (!writable_) fail_value(name_, "is read-only");
  for (int i = 0; i < view_.ndim && view_.size() > 0; ++i) {
    if (view_.shape[i] > 1 && view_.strides[i] == 0) {
      fail_value(name_, "elements overlap each other (stride 0); pass an array of its own");
    }
  }
  return *this;
}

void contiguous_strides(Array& view) {
  int64_t stride = 1;
  for (int i = view.ndim - 1; i >= 0; --i) {
    view.strides[i] = stride;
    stride *= std::max<int64_t>(view.shape[i], 1);
  }
}

void require_no_overlap(const Array& out, const Argument& in, bool same_view_is_fine) {
  const Array& a = in.view();
  const auto [out_low, out_high] = extent(out);
  const auto [in_low, in_high] = extent(a);
  if (out_high <= in_low || in_high <= out_low || in_columns_apart(out, a)) return;
  bool same = out.data == a.data && out.dtype == a.dtype && out.ndim == a.ndim;
  for (int i = 0; same && i < a.ndim; ++i) {
    same = out.shape[i] == a.shape[i] && (a.shape[i] <= 1 || out.strides[i] == a.strides[i]);
  }
  if (!(same && same_view_is_fine)) {
    throw py::value_error(std::string("out: overlaps the memory of ") + in.name());
  }
}

int normalize_axis(int64_t axis, int ndim, const char* name) {
  if (axis < -ndim || axis >= ndim) {
    fail_value(name, std::to_string(axis) + " is out of range for an array of " +
                         std::to_string(ndim) + " axes");
  }
  return static_cast<int>(axis < 0 ? axis + ndim : axis);
}

Array broadcast(const Argument& a, std::span<const int64_t> shape) {
  Array view = a.view();
  view.ndim = static_cast<int>(shape.size());
  const int missing = view.ndim - a->ndim;
  for (int i = 0; i < view.ndim; ++i) {
    const int64_t own = i < missing ? 1 : a->shape[i - missing];
    if (missing < 0 || (own != 1 && own != shape[i])) {
      fail_value(a.name(), "shape " + shape_string(a.shape()) + " does not broadcast to " +
                               shape_string(shape));
    }
    view.shape[i] = shape[i];
    view.strides[i] = own == 1 ? 0 : a->strides[i - missing];
  }
  return view;
}

std::vector<int64_t> broadcast_shape(const Argument& a, const Argument& b) {
  const Argument& longer = a->ndim >= b->ndim ? a : b;
  const Argument& shorter = a->ndim >= b->ndim ? b : a;
  std::vector<int64_t> shape(longer.shape().begin(), longer.shape().end());
  const int missing = longer->ndim - shorter->ndim;
  for (int i = 0; i < shorter->ndim; ++i) {
    int64_t& size = shape[i + missing];
    if (size == 1) size = shorter->shape[i];
    if (shorter->shape[i] != 1 && shorter->shape[i] != size) {
      fail_value(b.name(), "shape " + shape_string(b.shape()) + " does not broadcast with " +
                               shape_string(a.shape()));
    }
  }
  return shape;
}

std::string shape_string(std::span<const int64_t> shape) {
  std::string text = "(";
  for (size_t i = 0; i < shape.size(); ++i) {
    text += (i ? ", " : "") + std::to_string(shape[i]);
  }
  return text + (shape.size() == 1 ? ",)" : ")");
}

}  // namespace pyllm::bind
