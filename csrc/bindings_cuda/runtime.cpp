// Devices and memory, and what to say of an op that has no CUDA kernel.
#include "bindings_cuda/cublaslt.h"
#include "bindings_cuda/device.h"
#include "bindings_cuda/families.h"

namespace pyllm::bind_cuda {

namespace py = pybind11;

void bind_runtime(py::module_& m) {
  m.def("describe", &describe, "Whether CUDA can be used here, and if not, why not.");
  m.def("describe_cublaslt", &describe_cublaslt,
        "Where matrix products come from, or why there are none.");
  m.def("device_count", &device_count);
  m.def(
      "memory_stats",
      [](int device) {
        const MemoryStats s = memory_stats(device);
        py::dict d;
        d["in_use"] = s.in_use;
        d["reserved"] = s.reserved;
        return d;
      },
      py::arg("device") = 0);
  m.def("empty_cache", &empty_cache, py::arg("device") = 0);
  m.def("__getattr__", [](const std::string& name) -> py::object {
    if (name.rfind("__", 0) == 0) throw py::attribute_error(name);
    PyErr_Format(PyExc_NotImplementedError, "%s has no CUDA kernel yet; move its arrays to the CPU",
                 name.c_str());
    throw py::error_already_set();
  });
}

}  // namespace pyllm::bind_cuda
