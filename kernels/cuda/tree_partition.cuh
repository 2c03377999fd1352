// A tile of 2,048 rows of a node counts how many go left; one block turns the counts into places
// (scan.cuh); each tile then writes its rows. A row's rank among those of its tile that go the same
// way comes from votes, so the partition is stable and does not depend on the order of threads.
#pragma once

#include "launch.cuh"
#include "scan.cuh"
#include "tree_partition.h"

namespace pyllm::cuda {

constexpr int kPartitionThreads = 256, kPartitionTile = 2048;
constexpr int kPartitionWarps = kPartitionThreads / dev::kWarpSize;
constexpr int kPartitionRounds = kPartitionTile / kPartitionThreads;

// What decides where a row goes.
template <class Code>
struct TreeRule {
  const Code* codes;
  const uint32_t* bits;
  int32_t bin, missing_code;
  bool missing_left, moves;

  PYLLM_DEVICE TreeRule(const TreePartition& a, int64_t node) {
    const int32_t feature = dev::ldg(a.feature + node);
    const int64_t start = dev::ldg(a.category_start + node);
    moves = feature >= 0;
    codes = static_cast<const Code*>(a.codes) + (moves ? feature : 0) * a.codes_column_stride;
    bits = start >= 0 ? a.category_bits + start : nullptr;
    bin = dev::ldg(a.bin + node);
    missing_code = dev::ldg(a.missing_code + node);
    missing_left = dev::ldg(a.missing_left + node) != 0;
  }
  PYLLM_DEVICE bool goes_left(int32_t row) const {
    if (!moves) return true;
    const int32_t code = dev::ldg(codes + row);
    if (code == missing_code) return missing_left;
    return bits == nullptr ? code <= bin : dev::ldg(bits + code / 32) >> code % 32 & 1;
  }
};

// The rows of a tile: warp w takes 256 neighbours, 32 at a time.
struct PartitionTile {
  int64_t start, count, first;

  PYLLM_DEVICE PartitionTile(const TreePartition& a, int64_t node)
      : start(dev::ldg(a.segments + 2 * node)), count(dev::ldg(a.segments + 2 * node + 1)) {
    const int warp = threadIdx.x / dev::kWarpSize, lane = threadIdx.x % dev::kWarpSize;
    first = int64_t{blockIdx.x} * kPartitionTile + warp * (kPartitionTile / kPartitionWarps) + lane;
  }
  PYLLM_DEVICE int64_t at(int round) const { return first + round * dev::kWarpSize; }
};

template <class Code>
__global__ void __launch_bounds__(kPartitionThreads) tree_partition_count(TreePartition a) {
  PYLLM_SHARED(int32_t, lefts, kPartitionWarps);
  const int64_t node = blockIdx.y;
  const PartitionTile tile(a, node);
  const TreeRule<Code> rule(a, node);
  int32_t mine = 0;
#pragma unroll
  for (int round = 0; round < kPartitionRounds; ++round) {
    const int64_t i = tile.at(round);
    const bool left = i < tile.count && rule.goes_left(dev::ldg(a.rows + tile.start + i));
    mine += __popc(__ballot_sync(dev::kFullMask, left));
  }
  if (threadIdx.x % dev::kWarpSize == 0) dev::sts(lefts + threadIdx.x / dev::kWarpSize, mine);
  __syncthreads();
  if (threadIdx.x > 0) return;
  int32_t sum = 0;
  for (int w = 0; w < kPartitionWarps; ++w) sum += dev::lds(lefts + w);
  dev::stg(a.counts + node * gridDim.x + blockIdx.x, sum);
  // One more count, so that the scan gives the sum of the last node too.
  if (node == gridDim.y - 1 && blockIdx.x == gridDim.x - 1) {
    dev::stg(a.counts + node * gridDim.x + blockIdx.x + 1, 0);
  }
}

// counts: how many rows went left in all tiles before.
template <class Code>
__global__ void __launch_bounds__(kPartitionThreads) tree_partition_move(TreePartition a) {
  PYLLM_SHARED(int32_t, lefts, kPartitionWarps);
  const int64_t node = blockIdx.y;
  const int lane = threadIdx.x % dev::kWarpSize, warp = threadIdx.x / dev::kWarpSize;
  const int32_t* counts = a.counts + node * gridDim.x;
  const int32_t before_node = dev::ldg(counts);
  const int64_t went_left = dev::ldg(counts + gridDim.x) - before_node;
  if (blockIdx.x == 0 && threadIdx.x == 0) dev::stg(a.lefts + node, went_left);
  const PartitionTile tile(a, node);
  if (int64_t{blockIdx.x} * kPartitionTile >= tile.count) return;
  const TreeRule<Code> rule(a, node);
  int32_t rows[kPartitionRounds];
  uint32_t votes[kPartitionRounds];
  int32_t mine = 0;
#pragma unroll
  for (int round = 0; round < kPartitionRounds; ++round) {
    const int64_t i = tile.at(round);
    const bool exists = i < tile.count;
    rows[round] = exists ? dev::ldg(a.rows + tile.start + i) : -1;
    votes[round] = __ballot_sync(dev::kFullMask, exists && rule.goes_left(rows[round]));
    mine += __popc(votes[round]);
  }
  if (lane == 0) dev::sts(lefts + warp, mine);
  __syncthreads();
  int64_t left = dev::ldg(counts + blockIdx.x) - before_node;  // in all tiles and warps before
  for (int w = 0; w < warp; ++w) left += dev::lds(lefts + w);
#pragma unroll
  for (int round = 0; round < kPartitionRounds; ++round) {
    const int64_t i = tile.at(round);
    const int64_t rank = left + __popc(votes[round] & ((1u << lane) - 1));
    left += __popc(votes[round]);
    if (i >= tile.count) continue;
    const int64_t to = votes[round] >> lane & 1 ? rank : went_left + i - rank;
    dev::stg(a.sorted + tile.start + to, rows[round]);
  }
}

}  // namespace pyllm::cuda
