// Between Python's arrays and the views that CPU kernels take.
//
// Input reads a NumPy array, or anything with __dlpack__ on the CPU (torch, JAX, ...), without a
// copy. Outputs come from the caching allocator and go back in the framework of the input they
// are like.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <initializer_list>
#include <memory>
#include <span>

#include "bindings/argument.h"

namespace pyllm::bind {

namespace py = pybind11;

class Input : public Argument {
 public:
  Input(py::handle object, const char* name);

  // Not NumPy's: results go back through the framework's from_dlpack (TypeError if it has none).
  bool foreign() const { return managed_ != nullptr; }
  py::object from_dlpack() const;

 private:
  void read_numpy(py::handle array);
  void read_dlpack(py::handle object);

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
