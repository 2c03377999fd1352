#pragma once

#include "launch.cuh"
#include "tree_rows.h"

namespace pyllm::cuda {

constexpr int kTreeRowsThreads = 256, kTreeRowsPerThread = 8;

template <int kThreads>
__global__ void __launch_bounds__(kThreads) tree_copy_rows(TreeCopyRows a) {
  const int64_t start = dev::ldg(a.segments + 2 * blockIdx.y);
  const int64_t count = dev::ldg(a.segments + 2 * blockIdx.y + 1);
  int64_t i = int64_t{blockIdx.x} * kThreads * kTreeRowsPerThread + threadIdx.x;
#pragma unroll
  for (int round = 0; round < kTreeRowsPerThread; ++round, i += kThreads) {
    if (i >= count) return;
    const auto row = static_cast<int32_t>(start + i);
    dev::stg(a.to + start + i, a.from != nullptr ? dev::ldg(a.from + start + i) : row);
  }
}

template <int kThreads>
__global__ void __launch_bounds__(kThreads) tree_children(TreeChildren a) {
  const int64_t node = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (node >= a.nodes) return;
  const int64_t start = dev::ldg(a.segments + 2 * node);
  const int64_t count = dev::ldg(a.segments + 2 * node + 1), lefts = dev::ldg(a.lefts + node);
  const int64_t left = dev::ldg(a.places + 2 * node), right = dev::ldg(a.places + 2 * node + 1);
  const bool alone = dev::ldg(a.parent_places + node) < 0, left_is_small = 2 * lefts <= count;
  const bool sum_left = alone || left_is_small, sum_right = alone || !left_is_small;
  dev::stg(a.summed + 4 * node, start);
  dev::stg(a.summed + 4 * node + 1, sum_left ? lefts : int64_t{0});
  dev::stg(a.summed + 4 * node + 2, start + lefts);
  dev::stg(a.summed + 4 * node + 3, sum_right ? count - lefts : int64_t{0});
  dev::stg(a.summed_places + 2 * node, sum_left ? left : int64_t{-1});
  dev::stg(a.summed_places + 2 * node + 1, sum_right ? right : int64_t{-1});
  dev::stg(a.known + node, left_is_small ? left : right);
  dev::stg(a.sibling + node, left_is_small ? right : left);
}

}  // namespace pyllm::cuda
