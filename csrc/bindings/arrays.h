// Between Python's arrays and the views that kernels take.
//
// Input reads a NumPy array, or anything with __dlpack__ on the CPU (torch, JAX, ...), without a
// copy. Outputs come from the caching allocator and go back in the framework of the input they
// are like. Every error names the argument, what it was and what was expected.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/array.h"

namespace pyllm::bind {

namespace py = pybind11;

class Input {
 public:
  Input(py::handle object, const char* name);

  const Array& view() const { return view_; }
  const Array* operator->() const { return &view_; }
  const char* name() const { return name_; }
  bool writable() const { return writable_; }
  int64_t shape(int i) const { return view_.shape[i]; }
  std::span<const int64_t> shape() const { return {view_.shape.data(), size_t(view_.ndim)}; }

  // Not NumPy's: results go back through the framework's from_dlpack (TypeError if it has none).
  bool foreign() const { return managed_ != nullptr; }
  py::object from_dlpack() const;

  // Each throws ValueError or TypeError unless it holds; returns *this.
  const Input& require_float() const;
  const Input& require_dtype(std::initializer_list<DType> allowed) const;
  const Input& require_same_dtype(const Input& other) const;
  const Input& require_ndim(int ndim) const;
  const Input& require_shape(std::span<const int64_t> shape) const;
  const Input& require_shape(std::initializer_list<int64_t> shape) const;
  const Input& require_same_shape(const Input& other) const { return require_shape(other.shape()); }
  const Input& require_contiguous() const;

 private:
  void read_numpy(py::handle array);
  void read_dlpack(py::handle object);

  Array view_;
  const char* name_;
  bool writable_ = true;
  py::object owner_;
  std::shared_ptr<void> managed_;
};

// An argument that may be None: null then.
std::unique_ptr<Input> optional_input(py::handle object, const char* name);

// A fresh array, or the caller's `out`, checked: shape, dtype, writable, not overlapping itself.
// `object` is what to hand back to Python.
struct Output {
  Array view;
  py::object object;
};
Output make_output(const Input& like, std::span<const int64_t> shape, DType dtype);
Output make_output(const Input& like, py::handle out, std::span<const int64_t> shape, DType dtype,
                   const char* name = "out");
inline Output make_output(const Input& like, std::initializer_list<int64_t> shape, DType dtype) {
  return make_output(like, std::span(shape.begin(), shape.size()), dtype);
}
inline Output output_like(const Input& like, py::handle out = py::none()) {
  return make_output(like, out, like.shape(), like->dtype);
}

// Throws ValueError if writing `out` could change an element of `in` that is still to be read.
// The very same view is fine for ops that work in place.
void require_no_overlap(const Array& out, const Input& in, bool same_view_is_fine);

// Strides that repeat `a` over `shape`, as NumPy broadcasts; throws ValueError where they can't.
Array broadcast(const Input& a, std::span<const int64_t> shape);
inline Array broadcast(const Input& a, std::initializer_list<int64_t> shape) {
  return broadcast(a, std::span(shape.begin(), shape.size()));
}

// The shape that a and b have together.
std::vector<int64_t> broadcast_shape(const Input& a, const Input& b);

// Index of an axis in [0, ndim), negative ones counted from the end.
int normalize_axis(int64_t axis, int ndim, const char* name = "axis");

std::string shape_string(std::span<const int64_t> shape);

// Runs a kernel with the GIL released; tiny ones keep it, since letting go costs more than they do.
template <class F>
void run(int64_t elements, F&& kernel) {
  if (elements < 4096) {
    kernel();
  } else {
    const py::gil_scoped_release release;
    kernel();
  }
}

}  // namespace pyllm::bind
