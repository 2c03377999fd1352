#pragma once

#include <pybind11/pybind11.h>

namespace pyllm::bind {

// forest_check: whether the arrays of a forest are one.
void bind_forest_check(pybind11::module_& m);

}  // namespace pyllm::bind
