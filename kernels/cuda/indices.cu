// Launcher of the check of indices.
#include "indices.cuh"
#include "launch.cuh"

extern "C" cudaError_t pyllm_cuda_check_indices(const IndexCheck* args, cudaStream_t stream) {
  using namespace pyllm::cuda;
  if (args->n < 0 || !is_index_type(args->index_dtype)) return cudaErrorInvalidValue;
  return PYLLM_LAUNCH(check_indices<kIndexThreads>, dim3(1), dim3(kIndexThreads), 0, stream, *args);
}
