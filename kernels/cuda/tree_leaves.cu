// Launchers of what a grown tree means for its rows.
#include "tree_leaves.cuh"

namespace pyllm::cuda {
namespace {

bool too_many(int64_t rows) {
  return rows < 0 || rows > kMaxGridX * kLeafThreads;
}
dim3 grid_of(int64_t rows) {
  return dim3(static_cast<unsigned>((rows + kLeafThreads - 1) / kLeafThreads));
}

}  // namespace
}  // namespace pyllm::cuda

using namespace pyllm::cuda;

extern "C" cudaError_t pyllm_cuda_tree_leaf_sums(const TreeLeafSums* args, cudaStream_t stream) {
  if (args->nodes < 0 || args->blocks < 1 || args->blocks > kMaxGridX ||
      args->nodes > kMaxGridX / args->blocks || args->outputs < 1 || args->outputs > kMaxGridYZ) {
    return cudaErrorInvalidValue;
  }
  if (args->nodes == 0) return cudaSuccess;
  const dim3 grid(static_cast<unsigned>(args->nodes * args->blocks),
                  static_cast<unsigned>(args->outputs));
  const cudaError_t error =
      PYLLM_LAUNCH(tree_leaf_sums<kLeafSumThreads>, grid, dim3(kLeafSumThreads), 0, stream, *args);
  if (error != cudaSuccess) return error;
  return PYLLM_LAUNCH(tree_add_blocks<kLeafThreads>, grid_of(args->nodes * args->outputs * 2),
                      dim3(kLeafThreads), 0, stream, *args);
}

extern "C" cudaError_t pyllm_cuda_tree_find_leaves(const TreeFindLeaves* args,
                                                   cudaStream_t stream) {
  if (too_many(args->rows)) return cudaErrorInvalidValue;
  if (args->rows == 0) return cudaSuccess;
  const dim3 grid = grid_of(args->rows), block(kLeafThreads);
  return args->wide ? PYLLM_LAUNCH((tree_find_leaves<uint16_t, kLeafThreads>), grid, block, 0,
                                   stream, *args)
                    : PYLLM_LAUNCH((tree_find_leaves<uint8_t, kLeafThreads>), grid, block, 0,
                                   stream, *args);
}

extern "C" cudaError_t pyllm_cuda_tree_add_leaf_values(const TreeAddLeafValues* args,
                                                       cudaStream_t stream) {
  if (too_many(args->rows)) return cudaErrorInvalidValue;
  if (args->rows == 0) return cudaSuccess;
  return PYLLM_LAUNCH(tree_add_leaf_values<kLeafThreads>, grid_of(args->rows), dim3(kLeafThreads),
                      0, stream, *args);
}
