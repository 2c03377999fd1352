// Launcher of dropout.
#include "dropout.cuh"
#include "launch.cuh"

extern "C" cudaError_t pyllm_cuda_dropout(const Dropout* args, cudaStream_t stream) {
  using namespace pyllm;
  using namespace pyllm::cuda;
  const Dropout& a = *args;
  constexpr int64_t kPerBlock = kDropoutThreads * kDropoutWidth;
  if (a.n < 0 || a.n > kMaxGridX * kPerBlock || a.threshold < 0 || a.threshold > UINT32_MAX) {
    return cudaErrorInvalidValue;
  }
  return with_type(a.dtype, [&](auto sample) -> cudaError_t {
    using T = decltype(sample);
    if (a.n == 0) return cudaSuccess;
    const dim3 grid(static_cast<unsigned>((a.n + kPerBlock - 1) / kPerBlock));
    const dim3 block(kDropoutThreads);
    if (rows_aligned<T>(a.x, 0) && rows_aligned<T>(a.residual, 0) && rows_aligned<T>(a.y, 0)) {
      return PYLLM_LAUNCH((pyllm::cuda::dropout<T, true>), grid, block, 0, stream, a);
    }
    return PYLLM_LAUNCH((pyllm::cuda::dropout<T, false>), grid, block, 0, stream, a);
  });
}
