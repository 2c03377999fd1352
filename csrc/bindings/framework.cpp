#include "bindings/framework.h"

#include <unordered_map>

namespace pyllm::bind {

std::string type_name(py::handle object) {
  return py::str(py::type::of(object).attr("__name__"));
}

py::object find_from_dlpack(py::handle object) {
  static auto* known = new std::unordered_map<PyTypeObject*, py::object>;
  PyTypeObject* type = Py_TYPE(object.ptr());
  if (const auto it = known->find(type); it != known->end()) return it->second;
  std::string module = py::str(py::type::of(object).attr("__module__"));
  if (module.rfind("jaxlib", 0) == 0) module = "jax";
  const py::dict modules = py::module_::import("sys").attr("modules");
  py::object found = py::none();
  for (;;) {
    if (modules.contains(module)) {
      const py::object package = modules[module.c_str()];
      if (py::hasattr(package, "from_dlpack")) {
        found = package.attr("from_dlpack");
        break;
      }
      if (py::hasattr(package, "dlpack") && py::hasattr(package.attr("dlpack"), "from_dlpack")) {
        found = package.attr("dlpack").attr("from_dlpack");
        break;
      }
    }
    const size_t dot = module.rfind('.');
    if (dot == std::string::npos) break;
    module.resize(dot);
  }
  Py_INCREF(type);  // the table keys on its address
  known->emplace(type, found);
  return found;
}

bool immutable_by_contract(py::handle object) {
  const std::string module = py::str(py::type::of(object).attr("__module__"));
  return module.rfind("jax", 0) == 0;
}

}  // namespace pyllm::bind
