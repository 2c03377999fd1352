// Launcher of the partition of rows.
#include "tree_partition.cuh"

namespace pyllm::cuda {
namespace {

template <class Code>
cudaError_t partition(const TreePartition& a, cudaStream_t stream) {
  const int64_t tiles = (a.most_rows + kPartitionTile - 1) / kPartitionTile;
  const dim3 grid(static_cast<unsigned>(tiles > 0 ? tiles : 1), static_cast<unsigned>(a.nodes));
  const dim3 block(kPartitionThreads);
  cudaError_t error = PYLLM_LAUNCH(tree_partition_count<Code>, grid, block, 0, stream, a);
  if (error == cudaSuccess) {
    error = launch_exclusive_scan(a.counts, int64_t{grid.x} * grid.y + 1, stream);
  }
  if (error != cudaSuccess) return error;
  return PYLLM_LAUNCH(tree_partition_move<Code>, grid, block, 0, stream, a);
}

}  // namespace
}  // namespace pyllm::cuda

extern "C" cudaError_t pyllm_cuda_tree_partition(const TreePartition* args, cudaStream_t stream) {
  using namespace pyllm::cuda;
  if (args->nodes < 0 || args->nodes > kMaxGridYZ || args->most_rows < 0 ||
      args->most_rows > INT32_MAX) {
    return cudaErrorInvalidValue;
  }
  if (args->nodes == 0) return cudaSuccess;
  return args->wide ? partition<uint16_t>(*args, stream) : partition<uint8_t>(*args, stream);
}
