// Launchers of binning and of the rounding of gradients.
#include "launch.cuh"
#include "tree_bins.cuh"

namespace pyllm::cuda {
namespace {

constexpr int64_t kMaxGradientBlocks = 1024;

template <class X, class Code>
cudaError_t bins(const TreeBins& a, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>((a.rows + kBinTile - 1) / kBinTile),
                  static_cast<unsigned>((a.features + kBinTile - 1) / kBinTile));
  return PYLLM_LAUNCH((tree_bins<X, Code>), grid, dim3(kBinThreads), 0, stream, a);
}

// Wide sums of all rows and their magnitudes stay below 2^62.
int wide_bits(int64_t count) {
  int rows = 0;
  while ((count > 1 ? count : 1) * 2 >> (rows + 1) != 0) ++rows;
  return 61 - rows < 50 ? 61 - rows : 50;
}

}  // namespace
}  // namespace pyllm::cuda

using namespace pyllm;
using namespace pyllm::cuda;

extern "C" cudaError_t pyllm_cuda_tree_bins(const TreeBins* args, cudaStream_t stream) {
  const TreeBins& a = *args;
  if (a.rows < 0 || a.features < 0 || a.rows > kMaxGridX || a.features > kBinTile * kMaxGridYZ) {
    return cudaErrorInvalidValue;
  }
  if (a.rows == 0 || a.features == 0) return cudaSuccess;
  if (a.x_float64) {
    return a.wide ? bins<double, uint16_t>(a, stream) : bins<double, uint8_t>(a, stream);
  }
  return a.wide ? bins<float, uint16_t>(a, stream) : bins<float, uint8_t>(a, stream);
}

extern "C" cudaError_t pyllm_cuda_tree_gradients(const TreeGradients* args, cudaStream_t stream) {
  const TreeGradients& a = *args;
  if (a.count < 0 || a.count > INT32_MAX || a.outputs < 1 || a.outputs > kMaxGridYZ ||
      a.levels < 0) {
    return cudaErrorInvalidValue;
  }
  constexpr int kThreads = kTreeGradientThreads;
  int64_t blocks = (a.count + kThreads - 1) / kThreads;
  blocks = blocks < 1 ? 1 : blocks < kMaxGradientBlocks ? blocks : kMaxGradientBlocks;
  const dim3 grid(static_cast<unsigned>(blocks)), block(kThreads);
  const dim3 by_output(grid.x, static_cast<unsigned>(a.outputs));
  cudaError_t error = PYLLM_LAUNCH(tree_gradients_start<dev::kWarpSize>, dim3(1),
                                   dim3(dev::kWarpSize), 0, stream, a);
  if (error == cudaSuccess) {
    error = PYLLM_LAUNCH(tree_largest<kThreads>, grid, block, 0, stream, a);
  }
  if (error != cudaSuccess) return error;
  return a.wide ? PYLLM_LAUNCH((tree_quantize<int64_t, kThreads>), by_output, block, 0, stream, a,
                               wide_bits(a.count))
                : PYLLM_LAUNCH((tree_quantize<int32_t, kThreads>), by_output, block, 0, stream, a,
                               tree_gradient_bits(a.count));
}
