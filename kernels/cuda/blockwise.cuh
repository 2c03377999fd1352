// A warp takes the 256 elements that share a scale, a thread eight of them; each is read and
// written once.
#pragma once

#include "blockwise.h"
#include "blockwise_codes.cuh"
#include "rows.cuh"

namespace pyllm::cuda {

constexpr int kBlockwiseThreads = 256;

// A lane's eight elements.
struct BlockwiseLane {
  int64_t block, first;
  int count;
  bool whole;

  PYLLM_DEVICE BlockwiseLane(int64_t n, bool aligned)
      : block((int64_t{blockIdx.x} * kBlockwiseThreads + threadIdx.x) / dev::kWarpSize),
        first(block * kStateBlock + threadIdx.x % dev::kWarpSize * StateCodes::kEach) {
    const int64_t left = n - first;
    count = left < 0 ? 0 : left < StateCodes::kEach ? static_cast<int>(left) : StateCodes::kEach;
    whole = aligned && count == StateCodes::kEach;
  }
};

template <int kThreads>
__global__ void __launch_bounds__(kThreads) blockwise_quantize(BlockwiseQuantize a, bool aligned) {
  const BlockwiseLane lane(a.n, aligned);
  if (lane.block * kStateBlock >= a.n) return;
  float x[StateCodes::kEach];
  if (lane.whole) {
    load_row(x, a.x + lane.first, 0);
  } else {
#pragma unroll
    for (int k = 0; k < StateCodes::kEach; ++k) {
      x[k] = k < lane.count ? dev::ldg(a.x + lane.first + k) : 0.0f;
    }
  }
  StateCodes codes;
  const float scale = codes.encode(x, a.is_signed != 0);
  codes.store(a.codes + lane.first, lane.count, lane.whole);
  if (threadIdx.x % dev::kWarpSize == 0) dev::stg(a.scale + lane.block, scale);
}

template <int kThreads>
__global__ void __launch_bounds__(kThreads)
    blockwise_dequantize(BlockwiseDequantize a, bool aligned) {
  const BlockwiseLane lane(a.n, aligned);
  if (lane.count == 0) return;
  const StateCodes codes(a.codes + lane.first, lane.count, lane.whole);
  float x[StateCodes::kEach];
  codes.decode(x, dev::ldg(a.scale + lane.block), a.is_signed != 0, lane.count);
  if (lane.whole) return store_row(a.x + lane.first, 0, x);
#pragma unroll
  for (int k = 0; k < StateCodes::kEach; ++k) {
    if (k < lane.count) dev::stg(a.x + lane.first + k, x[k]);
  }
}

}  // namespace pyllm::cuda
