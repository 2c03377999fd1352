// One line an op family: what module.cpp registers.
#pragma once

#include <pybind11/pybind11.h>

namespace pyllm::bind_cuda {

void bind_activation(pybind11::module_& m);
void bind_adafactor(pybind11::module_& m);
void bind_attention(pybind11::module_& m);
void bind_attention_decode(pybind11::module_& m);
void bind_blockwise(pybind11::module_& m);
void bind_cross_entropy(pybind11::module_& m);
void bind_device_array(pybind11::module_& m);
void bind_dropout(pybind11::module_& m);
void bind_embedding(pybind11::module_& m);
void bind_forest(pybind11::module_& m);
void bind_gather(pybind11::module_& m);
void bind_glu(pybind11::module_& m);
void bind_linear(pybind11::module_& m);
void bind_linear_cross_entropy(pybind11::module_& m);
void bind_matmul(pybind11::module_& m);
void bind_norm(pybind11::module_& m);
void bind_optim(pybind11::module_& m);
void bind_pointwise(pybind11::module_& m);
void bind_reduction(pybind11::module_& m);
void bind_rotary(pybind11::module_& m);
void bind_runtime(pybind11::module_& m);
void bind_softmax(pybind11::module_& m);
void bind_tree_bins(pybind11::module_& m);
void bind_tree_objectives(pybind11::module_& m);
void bind_trees(pybind11::module_& m);

}  // namespace pyllm::bind_cuda
