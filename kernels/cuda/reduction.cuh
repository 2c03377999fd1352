// Along rows, a warp takes a short row and a block a long one, 128 bytes a warp and access; down
// columns, a block takes 32 columns and each of its 8 warps every eighth row. Where that leaves the
// device idle, a row (or column) is cut into chunks, whose results a second launch joins.
#pragma once

#include "reduction.h"
#include "rows.cuh"

namespace pyllm::cuda {

// NaN wins, as in NumPy.
struct Highest {
  static constexpr float kIdentity = -INFINITY;
  PYLLM_DEVICE static float combine(float a, float b) { return a != a || a > b ? a : b; }
};
struct Lowest {
  static constexpr float kIdentity = INFINITY;
  PYLLM_DEVICE static float combine(float a, float b) { return a != a || a < b ? a : b; }
};

// The chunk's part of [0, n).
struct Stretch {
  int64_t begin, end;
};
PYLLM_DEVICE Stretch stretch_of(int64_t chunk, int64_t chunks, int64_t n) {
  const int64_t length = (n + chunks - 1) / chunks;
  const int64_t begin = chunk * length, end = begin + length;
  return {begin, end < n ? end : n};
}

// y (rows, chunks) of U; grid.y is the number of chunks.
template <class T, class U, class Op, int kThreads>
__global__ void __launch_bounds__(RowTeam<kThreads>::kBlock) reduce_rows(Reduction a) {
  using Team = RowTeam<kThreads>;
  PYLLM_SHARED(float, scratch, Team::kScratch);
  const int64_t row = Team::row();
  if (row >= a.rows) return;
  const Stretch s = stretch_of(blockIdx.y, gridDim.y, a.columns);
  const T* x = static_cast<const T*>(a.x) + row * a.columns;
  float value = static_cast<float>(Op::kIdentity);
#pragma unroll 4
  for (int64_t i = s.begin + Team::rank(); i < s.end; i += kThreads) {
    value = Op::combine(value, dev::to_float(dev::ldg(x + i)));
  }
  value = Team::template reduce<Op>(value, scratch);
  if (Team::rank() == 0) {
    dev::stg(static_cast<U*>(a.y) + (row * gridDim.y + blockIdx.y), dev::from_float<U>(value));
  }
}

// y (chunks, columns) of U; grid.y is the number of chunks.
constexpr int kReduceColumnThreads = 256;
template <class T, class U, class Op>
__global__ void __launch_bounds__(kReduceColumnThreads) reduce_columns(Reduction a) {
  constexpr int kWarps = kReduceColumnThreads / dev::kWarpSize;
  PYLLM_SHARED(float, parts, kReduceColumnThreads);
  const int lane = threadIdx.x % dev::kWarpSize, warp = threadIdx.x / dev::kWarpSize;
  const int64_t column = int64_t{blockIdx.x} * dev::kWarpSize + lane;
  const Stretch s = stretch_of(blockIdx.y, gridDim.y, a.rows);
  float value = static_cast<float>(Op::kIdentity);
  if (column < a.columns) {
    const T* x = static_cast<const T*>(a.x) + column;
    for (int64_t row = s.begin + warp; row < s.end; row += kWarps) {
      value = Op::combine(value, dev::to_float(dev::ldg(x + row * a.columns)));
    }
  }
  dev::sts(parts + threadIdx.x, value);
  __syncthreads();
  if (warp > 0 || column >= a.columns) return;
  for (int w = 1; w < kWarps; ++w) {
    value = Op::combine(value, dev::lds(parts + (w * dev::kWarpSize + lane)));
  }
  dev::stg(static_cast<U*>(a.y) + (blockIdx.y * a.columns + column), dev::from_float<U>(value));
}

}  // namespace pyllm::cuda
