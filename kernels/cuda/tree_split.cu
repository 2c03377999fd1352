// Launcher of the search for splits.
#include "launch.cuh"
#include "tree_split.cuh"

extern "C" cudaError_t pyllm_cuda_tree_split(const TreeSplit* args, cudaStream_t stream) {
  using namespace pyllm;
  using namespace pyllm::cuda;
  const TreeSplit& a = *args;
  constexpr int64_t kMaxOutputs = 2048;  // carries of 32 KiB
  if (a.nodes < 0 || a.nodes > kMaxGridYZ || a.outputs < 1 || a.outputs > kMaxOutputs ||
      a.features < 0 || a.features > kMaxGridX || !(a.l1 >= 0) || !(a.l2 >= 0) ||
      !(a.max_delta_step >= 0)) {
    return cudaErrorInvalidValue;
  }
  if (a.nodes == 0) return cudaSuccess;
  const dim3 nodes(static_cast<unsigned>(a.nodes));
  if (a.features > 0) {
    const dim3 grid(static_cast<unsigned>(a.features), nodes.x);
    const size_t carries = static_cast<size_t>(a.outputs + 1) * 2 * sizeof(int64_t);
    const cudaError_t error = PYLLM_LAUNCH(tree_split_features<kSplitThreads>, grid,
                                           dim3(kSplitThreads), carries, stream, a);
    if (error != cudaSuccess) return error;
  }
  return PYLLM_LAUNCH(tree_split_nodes<dev::kWarpSize>, nodes, dim3(dev::kWarpSize), 0, stream, a);
}
