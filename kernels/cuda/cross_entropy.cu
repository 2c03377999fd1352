// Launchers of cross-entropy: who shares a row, and whether vectors may be used.
#include "cross_entropy.cuh"
#include "launch.cuh"

namespace pyllm::cuda {
namespace {

template <class Args>
bool valid(const Args& a) {
  return a.rows >= 0 && a.n >= 0 && a.rows <= kMaxGridX && is_index_type(a.target_dtype);
}
template <class Args>
bool valid_options(const Args& a) {
  return a.label_smoothing >= 0 && a.label_smoothing <= 1 && a.z_loss >= 0;
}

// Whether rows of x and y start equally far from a multiple of 16 bytes.
template <class T>
bool same_phase(const void* x, int64_t x_stride, const void* y, int64_t y_stride) {
  const auto distance = reinterpret_cast<intptr_t>(x) - reinterpret_cast<intptr_t>(y);
  return distance % 16 == 0 && (x_stride - y_stride) * static_cast<int64_t>(sizeof(T)) % 16 == 0;
}

template <class T, int W>
cudaError_t backward(const CrossEntropyBackward& a, cudaStream_t stream) {
  using Warps = RowTeam<dev::kWarpSize>;
  if (a.n <= kCrossEntropyWarpRow) {
    return PYLLM_LAUNCH((cross_entropy_backward<T, W, dev::kWarpSize>), dim3(Warps::blocks(a.rows)),
                        dim3(Warps::kBlock), 0, stream, a);
  }
  return PYLLM_LAUNCH((cross_entropy_backward<T, W, kCrossEntropyThreads>),
                      dim3(static_cast<unsigned>(a.rows)), dim3(kCrossEntropyThreads), 0, stream,
                      a);
}

}  // namespace
}  // namespace pyllm::cuda

using namespace pyllm::cuda;
using namespace pyllm;

extern "C" cudaError_t pyllm_cuda_cross_entropy_totals(const CrossEntropyTotals* args,
                                                       cudaStream_t stream) {
  if (!valid(*args)) return cudaErrorInvalidValue;
  return with_type(args->dtype, [&](auto sample) -> cudaError_t {
    return PYLLM_LAUNCH((cross_entropy_totals<decltype(sample)>), dim3(1), dim3(kTotalsThreads), 0,
                        stream, *args);
  });
}

extern "C" cudaError_t pyllm_cuda_cross_entropy_forward(const CrossEntropyForward* args,
                                                        cudaStream_t stream) {
  const CrossEntropyForward& a = *args;
  if (!valid(a) || !valid_options(a)) return cudaErrorInvalidValue;
  return with_type(a.dtype, [&](auto sample) -> cudaError_t {
    using T = decltype(sample);
    using Warps = RowTeam<dev::kWarpSize>;
    constexpr int W = dev::kVecWidth<T>;
    if (a.rows == 0) return cudaSuccess;
    if (a.n <= kCrossEntropyWarpRow) {
      return PYLLM_LAUNCH((cross_entropy_forward<T, W, dev::kWarpSize>),
                          dim3(Warps::blocks(a.rows)), dim3(Warps::kBlock), 0, stream, a);
    }
    return PYLLM_LAUNCH((cross_entropy_forward<T, W, kCrossEntropyThreads>),
                        dim3(static_cast<unsigned>(a.rows)), dim3(kCrossEntropyThreads), 0, stream,
                        a);
  });
}

extern "C" cudaError_t pyllm_cuda_cross_entropy_reduce(const CrossEntropyReduce* args,
                                                       cudaStream_t stream) {
  if (args->rows < 0) return cudaErrorInvalidValue;
  return PYLLM_LAUNCH(cross_entropy_reduce, dim3(1), dim3(kTotalsThreads), 0, stream, *args);
}

extern "C" cudaError_t pyllm_cuda_cross_entropy_backward(const CrossEntropyBackward* args,
                                                         cudaStream_t stream) {
  const CrossEntropyBackward& a = *args;
  if (!valid(a) || !valid_options(a)) return cudaErrorInvalidValue;
  return with_type(a.dtype, [&](auto sample) -> cudaError_t {
    using T = decltype(sample);
    if (a.rows == 0 || a.n == 0) return cudaSuccess;
    return same_phase<T>(a.logits, a.logits_row_stride, a.dlogits, a.dlogits_row_stride)
               ? backward<T, dev::kVecWidth<T>>(a, stream)
               : backward<T, 1>(a, stream);
  });
}
