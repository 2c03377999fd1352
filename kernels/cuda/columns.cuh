// The last stage of gradients that sum over rows: blocks have left partial sums, one row each, in
// float32; this adds them up, column by column, in a fixed order.
//
// A block takes 32 columns; each of its 8 warps every eighth row, so that reads are 128 bytes wide.
#pragma once

#include "device.cuh"

namespace pyllm::cuda {

constexpr int kColumnThreads = 256;

// totals[k] (n,) = sums over the rows of partial[k] (rows, n); grid.y is the number of arrays.
struct ColumnSums {
  const float* partial[2];
  void* totals[2];
  int64_t rows, n;
};

template <class T>
__global__ void __launch_bounds__(kColumnThreads) column_sums(ColumnSums a) {
  constexpr int kWarps = kColumnThreads / dev::kWarpSize;
  PYLLM_SHARED(float, parts, kColumnThreads);
  const int lane = threadIdx.x % dev::kWarpSize, warp = threadIdx.x / dev::kWarpSize;
  const int64_t column = int64_t{blockIdx.x} * dev::kWarpSize + lane;
  // An index that is known only here would put the arrays of `a` into local memory.
  const float* partial = blockIdx.y == 0 ? a.partial[0] : a.partial[1];
  float sum = 0.0f;
  if (column < a.n) {
    for (int64_t row = warp; row < a.rows; row += kWarps) {
      sum += dev::ldg(partial + row * a.n + column);
    }
  }
  dev::sts(parts + threadIdx.x, sum);
  __syncthreads();
  if (warp > 0 || column >= a.n) return;
  for (int w = 1; w < kWarps; ++w) sum += dev::lds(parts + (w * dev::kWarpSize + lane));
  void* totals = blockIdx.y == 0 ? a.totals[0] : a.totals[1];
  dev::stg(static_cast<T*>(totals) + column, dev::from_float<T>(sum));
}

// The first `count` arrays of `a`.
template <class T>
cudaError_t launch_column_sums(const ColumnSums& a, int count, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>((a.n + dev::kWarpSize - 1) / dev::kWarpSize),
                  static_cast<unsigned>(count));
  return PYLLM_LAUNCH((column_sums<T>), grid, dim3(kColumnThreads), 0, stream, a);
}

}  // namespace pyllm::cuda
