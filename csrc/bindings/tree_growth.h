// Options and results of growing trees, for the modules of the CPU and of CUDA devices.
#pragma once

#include <pybind11/pybind11.h>

#include "cpu/trees/grow.h"

namespace pyllm::bind {

namespace py = pybind11;

// The arrays of nodes by name, as pyllm.trees.grow reads them.
py::dict nodes_of(const trees::GrownTree& tree, int32_t outputs);

// TreeOptions.
void bind_tree_options(py::module_& m);

}  // namespace pyllm::bind
