// Launchers of the derivatives of losses.
#include "tree_derivatives.cuh"

namespace {

dim3 grid_of(int64_t rows) {
  constexpr int64_t kRows = pyllm::cuda::kDerivativeRows;
  return dim3(static_cast<unsigned>((rows + kRows - 1) / kRows));
}

}  // namespace

extern "C" cudaError_t pyllm_cuda_tree_derivatives(const TreeDerivatives* args,
                                                   cudaStream_t stream) {
  using namespace pyllm::cuda;
  if (args->rows < 0 || args->rows > INT32_MAX || args->loss < 0 || args->loss >= kTreeLosses) {
    return cudaErrorInvalidValue;
  }
  if (args->rows == 0) return cudaSuccess;
  return PYLLM_LAUNCH(tree_derivatives<kDerivativeRows>, grid_of(args->rows), dim3(kDerivativeRows),
                      0, stream, *args);
}

extern "C" cudaError_t pyllm_cuda_tree_softmax_derivatives(const TreeSoftmaxDerivatives* args,
                                                           cudaStream_t stream) {
  using namespace pyllm::cuda;
  if (args->rows < 0 || args->rows > INT32_MAX || args->classes < 1) return cudaErrorInvalidValue;
  if (args->rows == 0) return cudaSuccess;
  return PYLLM_LAUNCH(tree_softmax_derivatives<kDerivativeRows>, grid_of(args->rows),
                      dim3(kDerivativeRows), 0, stream, *args);
}
