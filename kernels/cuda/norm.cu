// Launchers of layer_norm and rms_norm: choose vector width and how a row is shared out.
#include "launch.cuh"
#include "norm.cuh"
#include "norm_backward.cuh"

namespace pyllm::cuda {
namespace {

constexpr int64_t kWarpRow = dev::kWarpSize * kNormHeld, kBlockRow = 256 * kNormHeld;
constexpr int kNormThreads = 256;

bool valid_sizes(int64_t rows, int64_t n, int32_t dtype, int32_t parameter_dtype) {
  return rows >= 0 && n >= 0 && rows <= kMaxGridX &&
         (parameter_dtype == dtype || parameter_dtype == kFloat32);
}

template <class T, int W>
cudaError_t forward(const NormForward& a, cudaStream_t stream) {
  using Warps = RowTeam<dev::kWarpSize>;
  if (a.n <= kWarpRow) {
    return PYLLM_LAUNCH((norm_held<T, W, dev::kWarpSize>), dim3(Warps::blocks(a.rows)),
                        dim3(Warps::kBlock), 0, stream, a);
  }
  const dim3 grid(static_cast<unsigned>(a.rows)), block(kNormThreads);
  if (a.n <= kBlockRow) {
    return PYLLM_LAUNCH((norm_held<T, W, kNormThreads>), grid, block, 0, stream, a);
  }
  return PYLLM_LAUNCH((norm_long<T, W, kNormThreads>), grid, block, 0, stream, a);
}

template <class T, int W>
cudaError_t backward_rows(const NormBackward& a, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(a.partial_rows));
  if (a.n <= 128 * 8) {
    return PYLLM_LAUNCH((norm_backward_held<T, W, 128, 8 / W>), grid, dim3(128), 0, stream, a);
  }
  if (a.n <= 256 * 16) {
    return PYLLM_LAUNCH((norm_backward_held<T, W, 256, 16 / W>), grid, dim3(256), 0, stream, a);
  }
  if (a.n <= 512 * 16) {
    return PYLLM_LAUNCH((norm_backward_held<T, W, 512, 16 / W>), grid, dim3(512), 0, stream, a);
  }
  if (a.dweight != nullptr) {
    const int64_t vectors = a.n / W;
    const dim3 columns(static_cast<unsigned>((vectors + kNormThreads - 1) / kNormThreads),
                       static_cast<unsigned>(a.partial_rows));
    const cudaError_t error = PYLLM_LAUNCH((norm_partial_sums<T, W, kNormThreads>), columns,
                                           dim3(kNormThreads), 0, stream, a);
    if (error != cudaSuccess) return error;
  }
  return PYLLM_LAUNCH((norm_backward_long<T, W, kNormThreads>), dim3(static_cast<unsigned>(a.rows)),
                      dim3(kNormThreads), 0, stream, a);
}

template <class T>
cudaError_t backward(const NormBackward& a, cudaStream_t stream) {
  constexpr int W = dev::kVecWidth<T>;
  const bool wide = a.n % W == 0 && rows_aligned<T>(a.dy, a.dy_row_stride) &&
                    rows_aligned<T>(a.x, a.x_row_stride) &&
                    rows_aligned<T>(a.dx, a.dx_row_stride) &&
                    rows_aligned<T>(a.grad_sum, a.grad_sum_row_stride) &&
                    rows_aligned<float>(a.partial, 0) && rows_aligned<float>(a.weight, 0);
  if (a.rows > 0) {
    const cudaError_t error =
        wide ? backward_rows<T, W>(a, stream) : backward_rows<T, 1>(a, stream);
    if (error != cudaSuccess) return error;
  }
  if (a.dweight == nullptr) return cudaSuccess;
  const ColumnSums sums{{a.partial, a.partial + a.partial_rows * a.n},
                        {a.dweight, a.dbias},
                        a.rows > 0 ? a.partial_rows : 0,
                        a.n};
  const int count = a.dbias != nullptr ? 2 : 1;
  return a.parameter_dtype == kFloat32 ? launch_column_sums<float>(sums, count, stream)
                                       : launch_column_sums<T>(sums, count, stream);
}

}  // namespace
}  // namespace pyllm::cuda

using namespace pyllm::cuda;
using namespace pyllm;

extern "C" cudaError_t pyllm_cuda_norm_forward(const NormForward* args, cudaStream_t stream) {
  const NormForward& a = *args;
  if (!valid_sizes(a.rows, a.n, a.dtype, a.parameter_dtype) || !(a.eps >= 0) ||
      (a.residual == nullptr) != (a.sum == nullptr)) {
    return cudaErrorInvalidValue;
  }
  return with_type(a.dtype, [&](auto sample) -> cudaError_t {
    using T = decltype(sample);
    if (a.rows == 0 || a.n == 0) return cudaSuccess;
    constexpr int W = dev::kVecWidth<T>;
    const bool wide = a.n % W == 0 && rows_aligned<T>(a.x, a.x_row_stride) &&
                      rows_aligned<T>(a.residual, a.residual_row_stride) &&
                      rows_aligned<T>(a.y, a.y_row_stride) &&
                      rows_aligned<T>(a.sum, a.sum_row_stride) &&
                      rows_aligned<float>(a.weight, 0) && rows_aligned<float>(a.bias, 0);
    return wide ? forward<T, W>(a, stream) : forward<T, 1>(a, stream);
  });
}

extern "C" cudaError_t pyllm_cuda_norm_backward(const NormBackward* args, cudaStream_t stream) {
  const NormBackward& a = *args;
  if (!valid_sizes(a.rows, a.n, a.dtype, a.parameter_dtype) || a.partial_rows < 1 ||
      a.partial_rows > kMaxGridYZ) {
    return cudaErrorInvalidValue;
  }
  return with_type(a.dtype, [&](auto sample) -> cudaError_t {
    if (a.n == 0) return cudaSuccess;
    return backward<decltype(sample)>(a, stream);
  });
}
