// Launchers of binning and of the rounding of gradients.
#include "launch.cuh"
#include "tree_bins.cuh"

namespace pyllm::cuda {
namespace {

constexpr int64_t kMaxGradientBlocks = 1024, kMaxGridY = 65535;

template <class X, class Code>
cudaError_t bins(const TreeBins& a, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>((a.rows + kBinTile - 1) / kBinTile),
                  static_cast<unsigned>((a.features + kBinTile - 1) / kBinTile));
  return PYLLM_LAUNCH((tree_bins<X, Code>), grid, dim3(kBinThreads), 0, stream, a);
}

// Of each row: the sums of kTreeBlockRows of them, or of all, stay below 2^31.
int bits_of_a_row(int64_t count) {
  const int64_t block = count < 1 ? 1 : count < kTreeBlockRows ? count : kTreeBlockRows;
  int bits = 0;
  while ((int64_t{1} << 31) / block >> (bits + 1) != 0) ++bits;
  return (bits < 24 ? bits : 24) - 1;
}

}  // namespace
}  // namespace pyllm::cuda

using namespace pyllm;
using namespace pyllm::cuda;

extern "C" cudaError_t pyllm_cuda_tree_bins(const TreeBins* args, cudaStream_t stream) {
  const TreeBins& a = *args;
  if (a.rows < 0 || a.features < 0 || a.rows > kMaxGridX || a.features > kBinTile * kMaxGridY) {
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
  if (a.count < 0 || a.count > INT32_MAX) return cudaErrorInvalidValue;
  constexpr int kThreads = kTreeGradientThreads;
  const int64_t blocks = (a.count + kThreads - 1) / kThreads;
  const dim3 grid(static_cast<unsigned>(blocks < 1                    ? 1
                                        : blocks < kMaxGradientBlocks ? blocks
                                                                      : kMaxGradientBlocks));
  const dim3 block(kThreads);
  cudaError_t error = PYLLM_LAUNCH(tree_gradients_start<dev::kWarpSize>, dim3(1),
                                   dim3(dev::kWarpSize), 0, stream, a);
  if (error == cudaSuccess) {
    error = PYLLM_LAUNCH(tree_largest<kThreads>, grid, block, 0, stream, a);
  }
  if (error != cudaSuccess) return error;
  return PYLLM_LAUNCH(tree_quantize<kThreads>, grid, block, 0, stream, a, bits_of_a_row(a.count));
}
