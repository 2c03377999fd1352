// Launchers of activations and gated linear units: one row of everything where nothing depends on
// the column, vector width, and the number of blocks that share the rows.
#include "activation.cuh"
#include "columns.cuh"
#include "glu.cuh"
#include "launch.cuh"

namespace pyllm::cuda {
namespace {

bool valid(int64_t rows, int64_t n, int32_t kind) {
  return rows >= 0 && n >= 0 && kind >= kRelu && kind <= kSilu;
}

bool one_run(int64_t rows, int64_t n, std::initializer_list<int64_t> strides) {
  for (const int64_t stride : strides) {
    if (rows > 1 && stride != n) return false;
  }
  return true;
}

// `sharing` rows of blocks; 0 lets each row of blocks have about four rows of the matrix.
dim3 column_grid(int64_t n, int W, int64_t rows, int64_t sharing) {
  constexpr int64_t kRowsEach = 4;
  const int64_t blocks = (n / W + kActivationThreads - 1) / kActivationThreads;
  if (sharing == 0) sharing = (rows + kRowsEach - 1) / kRowsEach;
  return dim3(static_cast<unsigned>(blocks),
              static_cast<unsigned>(sharing < kMaxGridYZ ? sharing : kMaxGridYZ));
}

}  // namespace
}  // namespace pyllm::cuda

using namespace pyllm::cuda;
using namespace pyllm;

extern "C" cudaError_t pyllm_cuda_activation_forward(const ActivationForward* args,
                                                     cudaStream_t stream) {
  ActivationForward a = *args;
  if (!valid(a.rows, a.n, a.kind)) return cudaErrorInvalidValue;
  return with_type(a.dtype, [&](auto sample) -> cudaError_t {
    using T = decltype(sample);
    constexpr int W = dev::kVecWidth<T>;
    if (a.rows == 0 || a.n == 0) return cudaSuccess;
    if (a.bias == nullptr && one_run(a.rows, a.n, {a.x_row_stride, a.y_row_stride})) {
      a.n *= a.rows, a.x_row_stride = a.y_row_stride = a.n, a.rows = 1;
    }
    const bool wide = a.n % W == 0 && rows_aligned<T>(a.x, a.x_row_stride) &&
                      rows_aligned<T>(a.y, a.y_row_stride) && rows_aligned<T>(a.bias, 0);
    return wide ? PYLLM_LAUNCH((activation_forward<T, W>), column_grid(a.n, W, a.rows, 0),
                               dim3(kActivationThreads), 0, stream, a)
                : PYLLM_LAUNCH((activation_forward<T, 1>), column_grid(a.n, 1, a.rows, 0),
                               dim3(kActivationThreads), 0, stream, a);
  });
}

extern "C" cudaError_t pyllm_cuda_activation_backward(const ActivationBackward* args,
                                                      cudaStream_t stream) {
  ActivationBackward a = *args;
  const int64_t sharing = a.dbias != nullptr ? a.partial_rows : 0;
  if (!valid(a.rows, a.n, a.kind) || (a.dbias != nullptr && sharing < 1) || sharing > kMaxGridYZ) {
    return cudaErrorInvalidValue;
  }
  return with_type(a.dtype, [&](auto sample) -> cudaError_t {
    using T = decltype(sample);
    constexpr int W = dev::kVecWidth<T>;
    if (a.n == 0) return cudaSuccess;
    if (a.bias == nullptr && a.dbias == nullptr &&
        one_run(a.rows, a.n, {a.dy_row_stride, a.x_row_stride, a.dx_row_stride})) {
      a.n *= a.rows, a.dy_row_stride = a.x_row_stride = a.dx_row_stride = a.n, a.rows = 1;
    }
    const bool wide = a.n % W == 0 && rows_aligned<T>(a.dy, a.dy_row_stride) &&
                      rows_aligned<T>(a.x, a.x_row_stride) &&
                      rows_aligned<T>(a.dx, a.dx_row_stride) && rows_aligned<T>(a.bias, 0) &&
                      rows_aligned<float>(a.partial, 0);
    if (a.rows > 0 && a.n > 0) {
      const cudaError_t error =
          wide ? PYLLM_LAUNCH((activation_backward<T, W>), column_grid(a.n, W, a.rows, sharing),
                              dim3(kActivationThreads), 0, stream, a)
               : PYLLM_LAUNCH((activation_backward<T, 1>), column_grid(a.n, 1, a.rows, sharing),
                              dim3(kActivationThreads), 0, stream, a);
      if (error != cudaSuccess) return error;
    }
    if (a.dbias == nullptr) return cudaSuccess;
    const ColumnSums sums{{a.partial}, {a.dbias}, a.rows > 0 ? sharing : 0, a.n};
    return launch_column_sums<T>(sums, 1, stream);
  });
}

extern "C" cudaError_t pyllm_cuda_glu_forward(const GluForward* args, cudaStream_t stream) {
  GluForward a = *args;
  if (!valid(a.rows, a.n, a.kind)) return cudaErrorInvalidValue;
  return with_type(a.dtype, [&](auto sample) -> cudaError_t {
    using T = decltype(sample);
    constexpr int W = dev::kVecWidth<T>;
    if (a.rows == 0 || a.n == 0) return cudaSuccess;
    if (a.gate_bias == nullptr && a.up_bias == nullptr &&
        one_run(a.rows, a.n, {a.gate_row_stride, a.up_row_stride, a.y_row_stride})) {
      a.n *= a.rows, a.gate_row_stride = a.up_row_stride = a.y_row_stride = a.n, a.rows = 1;
    }
    const bool wide = a.n % W == 0 && rows_aligned<T>(a.gate, a.gate_row_stride) &&
                      rows_aligned<T>(a.up, a.up_row_stride) &&
                      rows_aligned<T>(a.y, a.y_row_stride) && rows_aligned<T>(a.gate_bias, 0) &&
                      rows_aligned<T>(a.up_bias, 0);
    return wide ? PYLLM_LAUNCH((glu_forward<T, W>), column_grid(a.n, W, a.rows, 0),
                               dim3(kActivationThreads), 0, stream, a)
                : PYLLM_LAUNCH((glu_forward<T, 1>), column_grid(a.n, 1, a.rows, 0),
                               dim3(kActivationThreads), 0, stream, a);
  });
}

extern "C" cudaError_t pyllm_cuda_glu_backward(const GluBackward* args, cudaStream_t stream) {
  GluBackward a = *args;
  const bool sums = a.dgate_bias != nullptr || a.dup_bias != nullptr;
  const int64_t sharing = sums ? a.partial_rows : 0;
  if (!valid(a.rows, a.n, a.kind) || (sums && sharing < 1) || sharing > kMaxGridYZ) {
    return cudaErrorInvalidValue;
  }
  return with_type(a.dtype, [&](auto sample) -> cudaError_t {
    using T = decltype(sample);
    constexpr int W = dev::kVecWidth<T>;
    if (a.n == 0) return cudaSuccess;
    if (!sums && a.gate_bias == nullptr && a.up_bias == nullptr &&
        one_run(a.rows, a.n,
                {a.dy_row_stride, a.gate_row_stride, a.up_row_stride, a.dgate_row_stride,
                 a.dup_row_stride})) {
      a.n *= a.rows, a.rows = 1;
      a.dy_row_stride = a.gate_row_stride = a.up_row_stride = a.n;
      a.dgate_row_stride = a.dup_row_stride = a.n;
    }
    const bool wide = a.n % W == 0 && rows_aligned<T>(a.dy, a.dy_row_stride) &&
                      rows_aligned<T>(a.gate, a.gate_row_stride) &&
                      rows_aligned<T>(a.up, a.up_row_stride) &&
                      rows_aligned<T>(a.dgate, a.dgate_row_stride) &&
                      rows_aligned<T>(a.dup, a.dup_row_stride) && rows_aligned<T>(a.gate_bias, 0) &&
                      rows_aligned<T>(a.up_bias, 0) && rows_aligned<float>(a.partial, 0);
    if (a.rows > 0) {
      const cudaError_t error =
          wide ? PYLLM_LAUNCH((glu_backward<T, W>), column_grid(a.n, W, a.rows, sharing),
                              dim3(kActivationThreads), 0, stream, a)
               : PYLLM_LAUNCH((glu_backward<T, 1>), column_grid(a.n, 1, a.rows, sharing),
                              dim3(kActivationThreads), 0, stream, a);
      if (error != cudaSuccess) return error;
    }
    ColumnSums columns{{}, {}, a.rows > 0 ? sharing : 0, a.n};
    int count = 0;
    if (a.dgate_bias != nullptr) {
      columns.partial[count] = a.partial;
      columns.totals[count++] = a.dgate_bias;
    }
    if (a.dup_bias != nullptr) {
      columns.partial[count] = a.partial + a.partial_rows * a.n;
      columns.totals[count++] = a.dup_bias;
    }
    return count > 0 ? launch_column_sums<T>(columns, count, stream) : cudaSuccess;
  });
}
