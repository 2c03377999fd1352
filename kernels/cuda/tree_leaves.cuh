// Sums: a CUDA block a node, block of rows and output. A sum in the order of rows is one chain of
// additions, so one thread adds up the gradients of a tile, another the hessians, while the other
// warps gather the next tile into shared memory.
#pragma once

#include "launch.cuh"
#include "tree_leaves.h"

namespace pyllm::cuda {

constexpr int kLeafSumThreads = 256, kLeafTile = 768, kLeafThreads = 256;

// The first of a node's rows that is `row` or higher.
PYLLM_DEVICE int64_t first_from(const int32_t* rows, int64_t count, int64_t row) {
  int64_t low = 0, high = count;
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (dev::ldg(rows + middle) < row) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

template <int kThreads>
__global__ void __launch_bounds__(kThreads) tree_leaf_sums(TreeLeafSums a) {
  constexpr int kAdders = 2 * dev::kWarpSize;      // the first lane of each of two warps
  PYLLM_SHARED(float, values, 2 * 2 * kLeafTile);  // (buffers, gradient and hessian, rows)
  const int64_t node = blockIdx.x % a.nodes, block = blockIdx.x / a.nodes, output = blockIdx.y;
  const int32_t* rows = a.rows + dev::ldg(a.segments + 2 * node);
  const int64_t all = dev::ldg(a.segments + 2 * node + 1);
  const int64_t begin = first_from(rows, all, dev::ldg(a.block_starts + block));
  const int64_t count = first_from(rows, all, dev::ldg(a.block_starts + block + 1)) - begin;
  const int64_t tiles = (count + kLeafTile - 1) / kLeafTile;
  const int which = threadIdx.x / dev::kWarpSize;
  double sum = 0.0;
  for (int64_t tile = 0; tile <= tiles; ++tile) {
    if (threadIdx.x >= kAdders) {
      const auto to = values + (tile % 2) * 2 * kLeafTile;
      for (int i = threadIdx.x - kAdders; i < kLeafTile; i += kThreads - kAdders) {
        const int64_t at = tile * kLeafTile + i;
        if (at >= count) break;
        const int64_t from =
            int64_t{dev::ldg(rows + begin + at)} * a.row_stride + output * a.output_stride;
        dev::sts(to + i, dev::ldg(a.gradient + from));
        dev::sts(to + (kLeafTile + i), dev::ldg(a.hessian + from));
      }
    } else if (tile > 0 && threadIdx.x % dev::kWarpSize == 0) {
      const auto from = values + ((tile - 1) % 2 * 2 + which) * kLeafTile;
      const int64_t left = count - (tile - 1) * kLeafTile;
      const int n = static_cast<int>(left < kLeafTile ? left : kLeafTile);
#pragma unroll 8
      for (int i = 0; i < n; ++i) sum += dev::lds(from + i);
    }
    __syncthreads();
  }
  if (threadIdx.x < kAdders && threadIdx.x % dev::kWarpSize == 0) {
    dev::stg(a.partial + ((block * a.nodes + node) * a.outputs + output) * 2 + which, sum);
  }
}

template <int kThreads>
__global__ void __launch_bounds__(kThreads) tree_add_blocks(TreeLeafSums a) {
  const int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x, n = a.nodes * a.outputs * 2;
  if (i >= n) return;
  double sum = dev::ldg(a.partial + i);
  for (int64_t block = 1; block < a.blocks; ++block) sum += dev::ldg(a.partial + block * n + i);
  dev::stg(a.sums + i, sum);
}

template <class Code, int kThreads>
__global__ void __launch_bounds__(kThreads) tree_find_leaves(TreeFindLeaves a) {
  const int64_t row = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (row >= a.rows) return;
  const Code* codes = static_cast<const Code*>(a.codes) + row * a.codes_row_stride;
  int32_t node = 0;
  for (int32_t feature = dev::ldg(a.feature); feature >= 0; feature = dev::ldg(a.feature + node)) {
    const int32_t code = dev::ldg(codes + feature);
    const bool goes_left = code == dev::ldg(a.missing_code + node)
                               ? dev::ldg(a.default_left + node) != 0
                               : code <= dev::ldg(a.bin + node);
    node = dev::ldg((goes_left ? a.left : a.right) + node);
  }
  dev::stg(a.leaf + row, node);
}

template <int kThreads>
__global__ void __launch_bounds__(kThreads) tree_add_leaf_values(TreeAddLeafValues a) {
  const int64_t row = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (row >= a.rows) return;
  const int32_t leaf = dev::ldg(a.leaf + row);
  const double value = leaf >= 0 && leaf < a.nodes ? dev::ldg(a.value + leaf) : NAN;
  dev::stg(a.margin + row, dev::ldg(a.margin + row) + value);
}

}  // namespace pyllm::cuda
