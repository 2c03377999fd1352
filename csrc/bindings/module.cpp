// pyllm._cpu: the CPU kernels of pyllm as Python functions. No numerics here.
#include <pybind11/pybind11.h>

#include "bindings/dlpack_capsule.h"
#include "bindings/families.h"

PYBIND11_MODULE(_cpu, m) {
  m.doc() = "CPU kernels of pyllm.";
  pyllm::bind::bind_dlpack(m);
  pyllm::bind::bind_activation(m);
  pyllm::bind::bind_attention(m);
  pyllm::bind::bind_ceilings(m);
  pyllm::bind::bind_cross_entropy(m);
  pyllm::bind::bind_dropout(m);
  pyllm::bind::bind_embedding(m);
  pyllm::bind::bind_forest(m);
  pyllm::bind::bind_linear(m);
  pyllm::bind::bind_linear_cross_entropy(m);
  pyllm::bind::bind_matmul(m);
  pyllm::bind::bind_norm(m);
  pyllm::bind::bind_optim(m);
  pyllm::bind::bind_pointwise(m);
  pyllm::bind::bind_reduce(m);
  pyllm::bind::bind_rotary(m);
  pyllm::bind::bind_runtime(m);
  pyllm::bind::bind_softmax(m);
  pyllm::bind::bind_tree_objectives(m);
  pyllm::bind::bind_trees(m);
  pyllm::bind::bind_tree_bundles(m);
  pyllm::bind::bind_tree_rows(m);
  pyllm::bind::bind_averaged_trees(m);
}
