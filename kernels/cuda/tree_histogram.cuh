// A block sums up to 8,192 rows of one node over a group of features in shared memory, where their
// 32-bit sums cannot overflow (tree_bins.h), and adds what it has to the node's histogram in global
// memory. All additions are of integers, so neither the order of atomics nor the number of blocks
// changes a bit. Neighbouring threads take neighbouring features of a row: codes are read in whole
// sectors, and a row's gradient once for them all.
#pragma once

#include "tree_bins.cuh"
#include "tree_histogram.h"

namespace pyllm::cuda {

constexpr int kHistogramThreads = 512;

PYLLM_DEVICE int64_t histogram_place(const TreeHistogram& a, int64_t node) {
  return a.places != nullptr ? dev::ldg(a.places + node) : node;
}

// Shared memory adds 32 bits in one instruction, but 64 in a loop around a compare-and-swap. So the
// low word is added first, then the high one with the carry, if that is not 0: mostly it is, also
// for small negative numbers. In all there are as many carries in any order.
PYLLM_DEVICE void add_in_shared(const dev::Shared<int32_t>& sum, int32_t value) {
  dev::atomic_add(sum, value);
}
PYLLM_DEVICE void add_in_shared(const dev::Shared<int64_t>& sum, int64_t value) {
  const auto words = sum.as<uint32_t>();
  const auto low = static_cast<uint32_t>(value);
  const uint32_t before = dev::atomic_add(words, low);
  const uint32_t high = static_cast<uint32_t>(value >> 32) + (before > ~low ? 1u : 0u);
  if (high != 0) dev::atomic_add(words + 1, high);
}

// Word: of the sums, int32_t or int64_t.
template <class Code, class Word>
__global__ void __launch_bounds__(kHistogramThreads)
    tree_histogram(TreeHistogram a, int64_t tile_rows) {
  PYLLM_DYNAMIC_SHARED(Word, sums);
  const int64_t node = blockIdx.z;
  const int64_t start = dev::ldg(a.segments + 2 * node);
  const int64_t count = dev::ldg(a.segments + 2 * node + 1);
  const int64_t begin = int64_t{blockIdx.x} * tile_rows;
  if (begin >= count) return;
  const int rows = static_cast<int>(count - begin < tile_rows ? count - begin : tile_rows);
  const int64_t first = blockIdx.y * a.features_per_group;
  const int features = static_cast<int>(
      a.features - first < a.features_per_group ? a.features - first : a.features_per_group);
  const int32_t first_bin = dev::ldg(a.bin_offset + first);
  const int bins = dev::ldg(a.bin_offset + first + features) - first_bin;
  const auto gradients = sums.part(bins), hessians = (sums + bins).part(bins);
  for (int i = threadIdx.x; i < 2 * bins; i += kHistogramThreads) dev::sts(sums + i, Word{0});
  __syncthreads();
#pragma unroll(sizeof(Word) > sizeof(int32_t) ? 2 : 4)
  for (int item = threadIdx.x; item < rows * features; item += kHistogramThreads) {
    const int64_t f = first + item % features, at = start + begin + item / features;
    const int64_t row = a.rows == nullptr ? at : dev::ldg(a.rows + at);
    const int code = dev::ldg(static_cast<const Code*>(a.codes) + row * a.codes_row_stride + f);
    const auto word = dev::ldg(reinterpret_cast<const dev::Vec<Word, 2>*>(a.quantized) + row);
    const int bin = dev::ldg(a.bin_offset + f) - first_bin + code;
    add_in_shared(gradients + bin, word.v[0]);
    add_in_shared(hessians + bin, word.v[1]);
  }
  __syncthreads();
  int64_t* to = a.histograms + histogram_place(a, blockIdx.z) * a.histogram_node_stride +
                int64_t{first_bin} * 2;
  for (int bin = threadIdx.x; bin < bins; bin += kHistogramThreads) {
    const Word g = dev::lds(gradients + bin), h = dev::lds(hessians + bin);
    if (g != 0) dev::atomic_add(to + 2 * bin, int64_t{g});
    if (h != 0) dev::atomic_add(to + 2 * bin + 1, int64_t{h});
  }
}

template <int kThreads>
__global__ void __launch_bounds__(kThreads) tree_clear(TreeHistogram a) {
  const int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  const int64_t place = histogram_place(a, blockIdx.y);
  if (place < 0 || i >= a.total_bins * 2) return;
  dev::stg(a.histograms + place * a.histogram_node_stride + i, int64_t{0});
}

template <int kThreads>
__global__ void __launch_bounds__(kThreads) tree_subtract(TreeSubtract a) {
  using Pair = dev::Vec<int64_t, 2>;
  const int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  const int64_t pair = blockIdx.y, parent = dev::ldg(a.parent + pair);
  if (parent < 0 || i >= a.bins) return;
  Pair* histograms = reinterpret_cast<Pair*>(a.histograms);
  Pair sum = dev::ldg(histograms + parent * a.bins + i);
  const Pair child = dev::ldg(histograms + dev::ldg(a.child + pair) * a.bins + i);
  for (int k = 0; k < 2; ++k) sum.v[k] -= child.v[k];
  dev::stg(histograms + dev::ldg(a.sibling + pair) * a.bins + i, sum);
}

}  // namespace pyllm::cuda
