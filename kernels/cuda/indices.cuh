// Indices of either width, and the first of them that is out of range: one block, each thread every
// 512th index.
#pragma once

#include "dtype.h"
#include "indices.h"
#include "reduce.cuh"

namespace pyllm::cuda {

constexpr int kIndexThreads = 512;

PYLLM_DEVICE int64_t load_index(const void* indices, int32_t dtype, int64_t i) {
  return dtype == kInt32 ? dev::ldg(static_cast<const int32_t*>(indices) + i)
                         : dev::ldg(static_cast<const int64_t*>(indices) + i);
}

// Of the threads of a block: -1 where none found a bad index.
template <int kThreads>
PYLLM_DEVICE int64_t first_of_block(int64_t bad, const dev::Shared<int64_t>& scratch) {
  bad = dev::block_reduce<dev::Least, kThreads>(bad, scratch);
  return bad == INT64_MAX ? -1 : bad;
}

// A template only so that several files may include it.
template <int kThreads>
__global__ void __launch_bounds__(kThreads, 2) check_indices(IndexCheck a) {
  PYLLM_SHARED(int64_t, scratch, kThreads / dev::kWarpSize);
  int64_t bad = INT64_MAX;
#pragma unroll 4
  for (int64_t i = threadIdx.x; i < a.n; i += kThreads) {
    const int64_t index = load_index(a.indices, a.index_dtype, i);
    if ((index < 0 || index >= a.limit) && i < bad) bad = i;
  }
  bad = first_of_block<kThreads>(bad, scratch);
  if (threadIdx.x == 0) dev::stg(a.first_bad, bad);
}

}  // namespace pyllm::cuda
