// The framework that an array comes from, found by its type.
#pragma once

#include <pybind11/pybind11.h>

#include <string>

namespace pyllm::bind {

namespace py = pybind11;

std::string type_name(py::handle object);

// from_dlpack of the module that defines the object's type, or of the nearest package around it:
// torch.from_dlpack, jax.dlpack.from_dlpack (the array type lives in jaxlib), cupy.from_dlpack, ...
// None if there is none.
py::object find_from_dlpack(py::handle object);

// JAX's arrays are immutable by contract, which its capsules do not say.
bool immutable_by_contract(py::handle object);

}  // namespace pyllm::bind
