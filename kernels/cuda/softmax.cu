// Launchers of softmax: choose vector width and how much of a row a thread holds.
#include "launch.cuh"
#include "softmax.cuh"

namespace pyllm::cuda {
namespace {

template <class T, int W>
cudaError_t forward(const SoftmaxForward& a, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(a.rows)), block(kSoftmaxThreads);
  if (a.n <= kSoftmaxThreads * 8) {
    return PYLLM_LAUNCH((softmax_held<T, W, 8 / W>), grid, block, 0, stream, a);
  }
  if (a.n <= kSoftmaxThreads * 32) {
    return PYLLM_LAUNCH((softmax_held<T, W, 32 / W>), grid, block, 0, stream, a);
  }
  return PYLLM_LAUNCH((softmax_online<T, W>), grid, block, 0, stream, a);
}

template <class T, int W>
cudaError_t backward(const SoftmaxBackward& a, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(a.rows)), block(kSoftmaxThreads);
  if (a.n <= kSoftmaxThreads * 8) {
    return PYLLM_LAUNCH((softmax_gradient<T, W, 8 / W>), grid, block, 0, stream, a);
  }
  if (a.n <= kSoftmaxThreads * 32) {
    return PYLLM_LAUNCH((softmax_gradient<T, W, 32 / W>), grid, block, 0, stream, a);
  }
  return PYLLM_LAUNCH((softmax_gradient<T, W, 0>), grid, block, 0, stream, a);
}

}  // namespace
}  // namespace pyllm::cuda

using namespace pyllm::cuda;
using namespace pyllm;

extern "C" cudaError_t pyllm_cuda_softmax_forward(const SoftmaxForward* args, cudaStream_t stream) {
  const SoftmaxForward& a = *args;
  if (a.rows < 0 || a.n < 0 || a.rows > kMaxGridX || !(a.temperature > 0)) {
    return cudaErrorInvalidValue;
  }
  return with_type(a.dtype, [&](auto sample) -> cudaError_t {
    using T = decltype(sample);
    if (a.rows == 0 || a.n == 0) return cudaSuccess;
    constexpr int W = dev::kVecWidth<T>;
    const bool wide = a.n % W == 0 && rows_aligned<T>(a.x, a.x_row_stride) &&
                      rows_aligned<T>(a.y, a.y_row_stride);
    return wide ? forward<T, W>(a, stream) : forward<T, 1>(a, stream);
  });
}

extern "C" cudaError_t pyllm_cuda_softmax_backward(const SoftmaxBackward* args,
                                                   cudaStream_t stream) {
  const SoftmaxBackward& a = *args;
  if (a.rows < 0 || a.n < 0 || a.rows > kMaxGridX || !(a.temperature > 0)) {
    return cudaErrorInvalidValue;
  }
  return with_type(a.dtype, [&](auto sample) -> cudaError_t {
    using T = decltype(sample);
    if (a.rows == 0 || a.n == 0) return cudaSuccess;
    constexpr int W = dev::kVecWidth<T>;
    const bool wide = a.n % W == 0 && rows_aligned<T>(a.dy, a.dy_row_stride) &&
                      rows_aligned<T>(a.y, a.y_row_stride) &&
                      rows_aligned<T>(a.dx, a.dx_row_stride);
    return wide ? backward<T, W>(a, stream) : backward<T, 1>(a, stream);
  });
}
