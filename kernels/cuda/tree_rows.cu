// Launchers of what is done to the rows of nodes.
#include "launch.cuh"
#include "tree_rows.cuh"

namespace {

constexpr int kThreads = pyllm::cuda::kTreeRowsThreads;

unsigned blocks(int64_t n, int64_t each) {
  return static_cast<unsigned>((n + each - 1) / each);
}

}  // namespace

extern "C" cudaError_t pyllm_cuda_tree_copy_rows(const TreeCopyRows* args, cudaStream_t stream) {
  using namespace pyllm::cuda;
  if (args->nodes < 0 || args->nodes > pyllm::cuda::kMaxGridYZ || args->most_rows < 0 ||
      args->most_rows > INT32_MAX) {
    return cudaErrorInvalidValue;
  }
  if (args->nodes == 0 || args->most_rows == 0) return cudaSuccess;
  const dim3 grid(blocks(args->most_rows, kThreads * kTreeRowsPerThread),
                  static_cast<unsigned>(args->nodes));
  return PYLLM_LAUNCH(tree_copy_rows<kThreads>, grid, dim3(kThreads), 0, stream, *args);
}

extern "C" cudaError_t pyllm_cuda_tree_children(const TreeChildren* args, cudaStream_t stream) {
  using namespace pyllm::cuda;
  if (args->nodes < 0 || args->nodes > pyllm::cuda::kMaxGridYZ) return cudaErrorInvalidValue;
  if (args->nodes == 0) return cudaSuccess;
  return PYLLM_LAUNCH(tree_children<kThreads>, dim3(blocks(args->nodes, kThreads)), dim3(kThreads),
                      0, stream, *args);
}
