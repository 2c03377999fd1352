// Exclusive prefix sums of counts, in place, by one block: it walks over the array 1,024 elements
// at a time and carries the total along.
#pragma once

#include "launch.cuh"

namespace pyllm::cuda {

constexpr int kScanThreads = 1024;

struct ExclusiveScan {
  int32_t* counts;
  int64_t n;
};

template <int kThreads>
__global__ void __launch_bounds__(kThreads) exclusive_scan(ExclusiveScan a) {
  constexpr int kWarps = kThreads / dev::kWarpSize;
  static_assert(kWarps == dev::kWarpSize);
  PYLLM_SHARED(int32_t, warp_sums, kWarps);
  const int lane = threadIdx.x % dev::kWarpSize, warp = threadIdx.x / dev::kWarpSize;
  int32_t carry = 0;
  for (int64_t begin = 0; begin < a.n; begin += kThreads) {
    const int64_t i = begin + threadIdx.x;
    const int32_t count = i < a.n ? dev::ldg(a.counts + i) : 0;
    const auto inclusive = [&](int32_t value) {
      for (int offset = 1; offset < dev::kWarpSize; offset *= 2) {
        const int32_t below = __shfl_up_sync(dev::kFullMask, value, offset);
        if (lane >= offset) value += below;
      }
      return value;
    };
    const int32_t in_warp = inclusive(count);
    if (lane == dev::kWarpSize - 1) dev::sts(warp_sums + warp, in_warp);
    __syncthreads();
    const int32_t warps = inclusive(dev::lds(warp_sums + lane));
    const int32_t before = __shfl_sync(dev::kFullMask, warps, warp > 0 ? warp - 1 : 0);
    if (i < a.n) dev::stg(a.counts + i, carry + (warp > 0 ? before : 0) + in_warp - count);
    carry += __shfl_sync(dev::kFullMask, warps, kWarps - 1);
    __syncthreads();
  }
}

inline cudaError_t launch_exclusive_scan(int32_t* counts, int64_t n, cudaStream_t stream) {
  return PYLLM_LAUNCH(exclusive_scan<kScanThreads>, dim3(1), dim3(kScanThreads), 0, stream,
                      ExclusiveScan{counts, n});
}

}  // namespace pyllm::cuda
