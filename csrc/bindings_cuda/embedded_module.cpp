// pyllm._cuda.triton: the functions of pyllm._cuda, trying embedded Triton kernels first.
#include <set>
#include <string>

#include "bindings_cuda/embedded.h"

namespace pyllm::bind_cuda::embedded {
namespace {

thread_local int asked = 0;

struct Preference {
  Preference() { ++asked; }
  ~Preference() { --asked; }
};

std::string describe() {
  if (kernels().empty()) return "no: built without PYLLM_TRITON_AOT";
  std::set<int> capabilities;
  for (const Kernel& kernel : kernels()) {
    for (const Image& image : kernel.images) capabilities.insert(image.capability);
  }
  std::string text = "yes: " + std::to_string(kernels().size()) + " kernels for";
  for (const int capability : capabilities) text += " sm_" + std::to_string(capability);
  return text;
}

}  // namespace

bool preferred() {
  return asked > 0;
}

void bind_embedded(py::module_& m) {
  const py::dict bound = m.attr("__dict__").attr("copy")();
  py::module_ triton = m.def_submodule(
      "triton", "The functions of pyllm._cuda, by embedded Triton kernels where one suits.");
  for (const auto& [name, function] : bound) {
    if (!PyCFunction_Check(function.ptr())) continue;
    triton.def(std::string(py::str(name)).c_str(),
               [function = py::reinterpret_borrow<py::object>(function)](
                   const py::args& args, const py::kwargs& kwargs) -> py::object {
                 const Preference preference;
                 return function(*args, **kwargs);
               });
  }
  bind_histogram(triton);
  triton.def("count", [] { return kernels().size(); });
  triton.attr("describe") = py::cpp_function(&describe);
}

}  // namespace pyllm::bind_cuda::embedded
