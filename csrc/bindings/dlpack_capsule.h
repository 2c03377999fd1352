// DLPack capsules: reading another framework's tensor, lending one of ours.
#pragma once

#include <pybind11/pybind11.h>

#include <memory>

#include "core/array.h"

namespace pyllm::bind {

namespace py = pybind11;

struct ImportedTensor {
  Array view;
  bool writable = true;
  std::shared_ptr<void> managed;  // gives the tensor back to its framework when the last copy goes
};

// Calls object.__dlpack__(), versioned if it can be; throws TypeError or ValueError naming `name`
// for other devices and dtypes.
ImportedTensor import_dlpack(py::handle object, const char* name);

// A Python object with __dlpack__ and __dlpack_device__ over `view`, kept alive by `owner`.
py::object export_dlpack(const Array& view, std::shared_ptr<void> owner);

void bind_dlpack(py::module_& m);

}  // namespace pyllm::bind
