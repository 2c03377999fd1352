// pyllm._cuda: the CUDA kernels of pyllm as Python functions, of the names and signatures of
// pyllm._cpu. Loads without a driver; a call then says that there is no device.
#include <pybind11/pybind11.h>

#include "bindings_cuda/embedded.h"
#include "bindings_cuda/families.h"

#ifndef PYLLM_CUDA_MODULE
#define PYLLM_CUDA_MODULE _cuda
#endif

PYBIND11_MODULE(PYLLM_CUDA_MODULE, m) {
  m.doc() = "CUDA kernels of pyllm.";
  pyllm::bind_cuda::bind_runtime(m);
  pyllm::bind_cuda::bind_device_array(m);
  pyllm::bind_cuda::bind_activation(m);
  pyllm::bind_cuda::bind_adafactor(m);
  pyllm::bind_cuda::bind_attention(m);
  pyllm::bind_cuda::bind_attention_decode(m);
  pyllm::bind_cuda::bind_blockwise(m);
  pyllm::bind_cuda::bind_cross_entropy(m);
  pyllm::bind_cuda::bind_dropout(m);
  pyllm::bind_cuda::bind_embedding(m);
  pyllm::bind_cuda::bind_forest(m);
  pyllm::bind_cuda::bind_gather(m);
  pyllm::bind_cuda::bind_glu(m);
  pyllm::bind_cuda::bind_linear(m);
  pyllm::bind_cuda::bind_linear_cross_entropy(m);
  pyllm::bind_cuda::bind_matmul(m);
  pyllm::bind_cuda::bind_norm(m);
  pyllm::bind_cuda::bind_optim(m);
  pyllm::bind_cuda::bind_pointwise(m);
  pyllm::bind_cuda::bind_reduction(m);
  pyllm::bind_cuda::bind_rotary(m);
  pyllm::bind_cuda::bind_softmax(m);
  pyllm::bind_cuda::bind_tree_bins(m);
  pyllm::bind_cuda::bind_tree_objectives(m);
  pyllm::bind_cuda::bind_trees(m);
  pyllm::bind_cuda::embedded::bind_embedded(m);
}
