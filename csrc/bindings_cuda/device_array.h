// An array on a CUDA device that belongs to no framework: what ops return for arrays of their own
// kind, and what crosses to torch, CuPy or JAX by __dlpack__.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <memory>

#include "bindings_cuda/device.h"
#include "core/array.h"

namespace pyllm::bind_cuda {

namespace py = pybind11;

struct DeviceArray {
  Array view;
  std::shared_ptr<void> owner;
  Stream stream;  // where its content is ready, and where it is written
  bool writable = true;
};

// Not initialised, row-major.
DeviceArray make_array(std::span<const int64_t> shape, DType dtype, const Stream& stream);

void bind_device_array(py::module_& m);

}  // namespace pyllm::bind_cuda
