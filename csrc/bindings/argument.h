// An array argument as kernels see it, and the checks that every back end's bindings make on it.
// Every error names the argument, what it was and what was expected.
#pragma once

#include <pybind11/pybind11.h>

#include <initializer_list>
#include <span>
#include <string>
#include <vector>

#include "core/array.h"

namespace pyllm::bind {

namespace py = pybind11;

class Argument {
 public:
  const Array& view() const { return view_; }
  const Array* operator->() const { return &view_; }
  const char* name() const { return name_; }
  bool writable() const { return writable_; }
  int64_t shape(int i) const { return view_.shape[i]; }
  std::span<const int64_t> shape() const { return {view_.shape.data(), size_t(view_.ndim)}; }

  // Each throws ValueError or TypeError unless it holds; returns *this.
  const Argument& require_float() const;
  const Argument& require_dtype(std::initializer_list<DType> allowed) const;
  const Argument& require_same_dtype(const Argument& other) const;
  const Argument& require_ndim(int ndim) const;
  const Argument& require_shape(std::span<const int64_t> shape) const;
  const Argument& require_shape(std::initializer_list<int64_t> shape) const;
  const Argument& require_same_shape(const Argument& other) const {
    return require_shape(other.shape());
  }
  const Argument& require_contiguous() const;
  // Writable, and no element lies on another.
  const Argument& require_writable() const;

 protected:
  explicit Argument(const char* name) : name_(name) {}

  Array view_;
  const char* name_;
  bool writable_ = true;
};

// Throws ValueError if writing `out` could change an element of `in` that is still to be read.
// The very same view is fine for ops that work in place.
void require_no_overlap(const Array& out, const Argument& in, bool same_view_is_fine);

// Index of an axis in [0, ndim), negative ones counted from the end.
int normalize_axis(int64_t axis, int ndim, const char* name = "axis");

void contiguous_strides(Array& view);

// Strides that repeat `a` over `shape`, as NumPy broadcasts. Throws ValueError.
Array broadcast(const Argument& a, std::span<const int64_t> shape);
inline Array broadcast(const Argument& a, std::initializer_list<int64_t> shape) {
  return broadcast(a, std::span(shape.begin(), shape.size()));
}

// The shape that a and b have together. Throws ValueError.
std::vector<int64_t> broadcast_shape(const Argument& a, const Argument& b);

std::string shape_string(std::span<const int64_t> shape);

// "name: problem"
[[noreturn]] void fail_value(const char* name, const std::string& problem);
[[noreturn]] void fail_type(const char* name, const std::string& problem);

}  // namespace pyllm::bind
