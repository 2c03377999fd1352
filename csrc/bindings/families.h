// One line an op family: what module.cpp registers.
#pragma once

#include <pybind11/pybind11.h>

namespace pyllm::bind {

void bind_activation(pybind11::module_& m);
void bind_attention(pybind11::module_& m);
void bind_averaged_trees(pybind11::module_& m);
void bind_ceilings(pybind11::module_& m);
void bind_cross_entropy(pybind11::module_& m);
void bind_dropout(pybind11::module_& m);
void bind_embedding(pybind11::module_& m);
void bind_forest(pybind11::module_& m);
void bind_linear(pybind11::module_& m);
void bind_linear_cross_entropy(pybind11::module_& m);
void bind_matmul(pybind11::module_& m);
void bind_norm(pybind11::module_& m);
void bind_optim(pybind11::module_& m);
void bind_pointwise(pybind11::module_& m);
void bind_reduce(pybind11::module_& m);
void bind_rotary(pybind11::module_& m);
void bind_runtime(pybind11::module_& m);
void bind_softmax(pybind11::module_& m);
void bind_tree_bundles(pybind11::module_& m);
void bind_tree_objectives(pybind11::module_& m);
void bind_tree_rows(pybind11::module_& m);
void bind_trees(pybind11::module_& m);

}  // namespace pyllm::bind
