// Launchers of block-wise quantisation.
#include "blockwise.cuh"
#include "launch.cuh"

namespace pyllm::cuda {
namespace {

// Blocks of 256 threads, each with the elements of eight scales.
constexpr int64_t kElements = kBlockwiseThreads / dev::kWarpSize * kStateBlock;

bool valid(int64_t n) {
  return n >= 0 && n <= kMaxGridX * kElements;
}
dim3 blocks(int64_t n) {
  return dim3(static_cast<unsigned>((n + kElements - 1) / kElements));
}
bool aligned(const void* codes, const void* x) {
  return rows_aligned<uint8_t>(codes, 0) && rows_aligned<float>(x, 0);
}

}  // namespace
}  // namespace pyllm::cuda

using namespace pyllm::cuda;

extern "C" cudaError_t pyllm_cuda_blockwise_quantize(const BlockwiseQuantize* args,
                                                     cudaStream_t stream) {
  if (!valid(args->n)) return cudaErrorInvalidValue;
  if (args->n == 0) return cudaSuccess;
  return PYLLM_LAUNCH(blockwise_quantize<kBlockwiseThreads>, blocks(args->n),
                      dim3(kBlockwiseThreads), 0, stream, *args, aligned(args->codes, args->x));
}

extern "C" cudaError_t pyllm_cuda_blockwise_dequantize(const BlockwiseDequantize* args,
                                                       cudaStream_t stream) {
  if (!valid(args->n)) return cudaErrorInvalidValue;
  if (args->n == 0) return cudaSuccess;
  return PYLLM_LAUNCH(blockwise_dequantize<kBlockwiseThreads>, blocks(args->n),
                      dim3(kBlockwiseThreads), 0, stream, *args, aligned(args->codes, args->x));
}
