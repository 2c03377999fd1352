// DLPack capsules: reading another framework's tensor, lending one of ours.
#pragma once

#include <pybind11/pybind11.h>

#include <memory>

#include "core/array.h"
#include "core/dlpack.h"

namespace pyllm::bind {

namespace py = pybind11;

struct ImportedTensor {
  Array view;
  dlpack::Device device{};
  bool writable = true;
  std::shared_ptr<void> managed;  // gives the tensor back to its framework when the last copy goes

  bool on_cpu() const { return device.type == dlpack::kCPU || device.type == dlpack::kCUDAHost; }
};

// Calls object.__dlpack__(stream), versioned if it can be; throws TypeError or ValueError naming
// `name` for dtypes that are none of ours. `stream`: on a GPU, where the caller will read.
ImportedTensor import_dlpack(py::handle object, const char* name,
                             const py::object& stream = py::none());

// A capsule over `view`, kept alive by `owner`: versioned if max_version, a tuple or None, allows.
py::capsule make_capsule(const Array& view, dlpack::Device device, std::shared_ptr<void> owner,
                         const py::object& max_version);

// A Python object with __dlpack__ and __dlpack_device__ over `view`, kept alive by `owner`.
py::object export_dlpack(const Array& view, std::shared_ptr<void> owner);

void bind_dlpack(py::module_& m);

}  // namespace pyllm::bind
