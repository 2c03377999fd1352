// A stable radix sort of 32-bit keys with the 32-bit numbers they carry, eight bits a pass:
//
//   count     each tile of 2,048 keys counts its digits                 counts (256, tiles)
//   scan      one block turns counts into where each tile's digits go
//   scatter   a key's place is that plus how many of its digit stand before it in its tile
//
// That last rank comes from votes: the lanes of a warp whose digits agree find each other with
// eight ballots. It depends on the order of keys alone, never on the order in which threads run, so
// equal keys keep their order and results are the same from run to run.
#pragma once

#include "launch.cuh"
#include "scan.cuh"

namespace pyllm::cuda {

constexpr int kSortThreads = 256, kSortTile = 2048, kDigits = 256;
constexpr int kSortWarps = kSortThreads / dev::kWarpSize, kSortRounds = kSortTile / kSortThreads;

// keys and numbers (n,) each twice over: a pass reads one half and writes the other.
struct Sort {
  uint32_t* keys;     // (2, n)
  uint32_t* numbers;  // (2, n)
  int32_t* counts;    // (kDigits, tiles)
  int64_t n;
  int64_t tiles() const { return (n + kSortTile - 1) / kSortTile; }
};

struct SortPass {
  const uint32_t* keys;
  const uint32_t* numbers;
  uint32_t* sorted_keys;
  uint32_t* sorted_numbers;
  int32_t* counts;
  int64_t n, tiles;
  int32_t shift;
};

template <int kThreads>
__global__ void __launch_bounds__(kThreads) sort_count(SortPass a) {
  PYLLM_SHARED(int32_t, counts, kDigits);
  static_assert(kThreads == kDigits);
  dev::sts(counts + threadIdx.x, 0);
  __syncthreads();
  const int64_t begin = int64_t{blockIdx.x} * kSortTile;
  for (int64_t i = begin + threadIdx.x; i < begin + kSortTile && i < a.n; i += kThreads) {
    dev::atomic_add(counts + (dev::ldg(a.keys + i) >> a.shift & (kDigits - 1)), 1);
  }
  __syncthreads();
  dev::stg(a.counts + threadIdx.x * a.tiles + blockIdx.x, dev::lds(counts + threadIdx.x));
}

// Warp w takes 256 neighbouring keys of its tile, 32 at a time.
template <int kThreads>
__global__ void __launch_bounds__(kThreads) sort_scatter(SortPass a) {
  PYLLM_SHARED(int32_t, counts, kSortWarps* kDigits);
  const int lane = threadIdx.x % dev::kWarpSize, warp = threadIdx.x / dev::kWarpSize;
  const auto mine = counts + warp * kDigits;
  for (int w = 0; w < kSortWarps; ++w) dev::sts(counts + (w * kDigits + threadIdx.x), 0);
  __syncthreads();
  const int64_t first = int64_t{blockIdx.x} * kSortTile + warp * (kSortTile / kSortWarps) + lane;
  uint32_t keys[kSortRounds];
  int32_t ranks[kSortRounds];
#pragma unroll
  for (int round = 0; round < kSortRounds; ++round) {
    const int64_t i = first + round * dev::kWarpSize;
    const bool exists = i < a.n;
    keys[round] = exists ? dev::ldg(a.keys + i) : 0;
    const int digit = keys[round] >> a.shift & (kDigits - 1);
    uint32_t peers = __ballot_sync(dev::kFullMask, exists);
#pragma unroll
    for (int bit = 0; bit < 8; ++bit) {
      const uint32_t set = __ballot_sync(dev::kFullMask, digit >> bit & 1);
      peers &= digit >> bit & 1 ? set : ~set;
    }
    const int before = __popc(peers & ((1u << lane) - 1));
    ranks[round] = exists ? dev::lds(mine + digit) + before : 0;
    __syncwarp();
    if (exists && before == 0) dev::sts(mine + digit, ranks[round] + __popc(peers));
    __syncwarp();
  }
  __syncthreads();
  // Where the first key of each digit of each warp goes.
  int32_t place = dev::ldg(a.counts + threadIdx.x * a.tiles + blockIdx.x);
  for (int w = 0; w < kSortWarps; ++w) {
    const auto count = counts + (w * kDigits + threadIdx.x);
    const int32_t here = dev::lds(count);
    dev::sts(count, place);
    place += here;
  }
  __syncthreads();
#pragma unroll
  for (int round = 0; round < kSortRounds; ++round) {
    const int64_t i = first + round * dev::kWarpSize;
    if (i >= a.n) continue;
    const int64_t to =
        dev::lds(mine + (keys[round] >> a.shift & (kDigits - 1))) + int64_t{ranks[round]};
    dev::stg(a.sorted_keys + to, keys[round]);
    dev::stg(a.sorted_numbers + to, dev::ldg(a.numbers + i));
  }
}

// Sorts by the lowest `bits` bits. Returns in `half` which half of keys and numbers holds the
// result.
inline cudaError_t launch_sort(const Sort& a, int bits, int& half, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(a.tiles())), block(kSortThreads);
  half = 0;
  for (int shift = 0; shift < bits; shift += 8, half = 1 - half) {
    const int64_t from = half * a.n, to = (1 - half) * a.n;
    const SortPass pass{a.keys + from, a.numbers + from, a.keys + to, a.numbers + to, a.counts,
                        a.n,           a.tiles(),        shift};
    cudaError_t error = PYLLM_LAUNCH(sort_count<kSortThreads>, grid, block, 0, stream, pass);
    if (error == cudaSuccess) error = launch_exclusive_scan(a.counts, kDigits * a.tiles(), stream);
    if (error == cudaSuccess) {
      error = PYLLM_LAUNCH(sort_scatter<kSortThreads>, grid, block, 0, stream, pass);
    }
    if (error != cudaSuccess) return error;
  }
  return cudaSuccess;
}

}  // namespace pyllm::cuda
