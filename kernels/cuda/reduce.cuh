// Reductions over a warp and over a block. Every thread gets the result; the order is fixed, so
// results are the same from run to run.
#pragma once

#include "device.cuh"

namespace pyllm::dev {

struct Sum {
  static constexpr int kIdentity = 0;
  template <class T>
  PYLLM_DEVICE static T combine(T a, T b) {
    return a + b;
  }
};
struct Max {
  static constexpr float kIdentity = -INFINITY;
  PYLLM_DEVICE static float combine(float a, float b) { return dev::max(a, b); }
};
// Of row numbers.
struct Least {
  static constexpr int64_t kIdentity = INT64_MAX;
  PYLLM_DEVICE static int64_t combine(int64_t a, int64_t b) { return a < b ? a : b; }
};

template <class Op, class T>
PYLLM_DEVICE T warp_reduce(T value) {
  for (int offset = kWarpSize / 2; offset > 0; offset /= 2) {
    value = Op::combine(value, __shfl_xor_sync(kFullMask, value, offset));
  }
  return value;
}

// Two shuffle trees with a trip through shared memory between them. The second barrier lets the
// next reduction reuse `scratch` (one element a warp).
template <class Op, int kThreads, class T>
PYLLM_DEVICE T block_reduce(T value, const Shared<T>& scratch) {
  constexpr int kWarps = kThreads / kWarpSize;
  static_assert(kThreads % kWarpSize == 0 && kWarps <= kWarpSize);
  value = warp_reduce<Op>(value);
  const int lane = threadIdx.x % kWarpSize, warp = threadIdx.x / kWarpSize;
  if (lane == 0) sts(scratch + warp, value);
  __syncthreads();
  value = warp_reduce<Op>(lane < kWarps ? lds(scratch + lane) : static_cast<T>(Op::kIdentity));
  __syncthreads();
  return value;
}

// kCount sums over a block at once; `scratch` holds kCount floats a warp.
template <int kThreads, int kCount>
PYLLM_DEVICE void block_sums(float (&values)[kCount], const Shared<float>& scratch) {
  constexpr int kWarps = kThreads / kWarpSize;
  static_assert(kThreads % kWarpSize == 0 && kWarps <= kWarpSize);
  const int lane = threadIdx.x % kWarpSize, warp = threadIdx.x / kWarpSize;
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    values[i] = warp_reduce<Sum>(values[i]);
    if (lane == 0) sts(scratch + (i * kWarps + warp), values[i]);
  }
  __syncthreads();
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    values[i] = warp_reduce<Sum>(lane < kWarps ? lds(scratch + (i * kWarps + lane)) : 0.0f);
  }
  __syncthreads();
}

}  // namespace pyllm::dev
