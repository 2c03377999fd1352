// Binning: a block takes 32 rows of 32 features through shared memory, so that both layouts of the
// codes are written in whole sectors. Gradients: one pass for the largest magnitudes, one to round;
// maxima and sums are of integers, so atomics leave no trace of the order of blocks.
#pragma once

#include "philox.cuh"
#include "reduce.cuh"
#include "tree_bins.h"

namespace pyllm::cuda {

constexpr int kBinTile = 32, kBinThreads = 256, kTreeGradientThreads = 256;
constexpr int64_t kTreeBlockRows = 8192;  // whose sums of 32-bit integers cannot overflow

template <class X, class Code>
__global__ void __launch_bounds__(kBinThreads) tree_bins(TreeBins a) {
  constexpr int kRowsAtOnce = kBinThreads / kBinTile;
  PYLLM_SHARED(uint32_t, codes, kBinTile*(kBinTile + 1));
  const int minor = threadIdx.x % kBinTile, major = threadIdx.x / kBinTile;
  const int64_t first_row = int64_t{blockIdx.x} * kBinTile;
  const int64_t first_feature = int64_t{blockIdx.y} * kBinTile;
  const int64_t feature = first_feature + minor;
  if (feature < a.features) {
    const int64_t begin = dev::ldg(a.cut_offset + feature);
    const int64_t end = dev::ldg(a.cut_offset + feature + 1);
    bool missing = false;
    for (int r = major; r < kBinTile && first_row + r < a.rows; r += kRowsAtOnce) {
      const double x = dev::ldg(static_cast<const X*>(a.x) + (first_row + r) * a.x_row_stride +
                                feature * a.x_column_stride);
      int64_t low = begin, high = end;
      while (low < high) {
        const int64_t middle = (low + high) / 2;
        if (dev::ldg(a.cuts + middle) < x) {
          low = middle + 1;
        } else {
          high = middle;
        }
      }
      const int64_t code = x != x ? end - begin + 1 : low - begin;
      missing = missing || x != x;
      dev::sts(codes + (r * (kBinTile + 1) + minor), static_cast<uint32_t>(code));
      if (a.by_row != nullptr) {
        dev::stg(static_cast<Code*>(a.by_row) + (first_row + r) * a.by_row_stride + feature,
                 static_cast<Code>(code));
      }
    }
    if (missing && a.missing != nullptr) dev::atomic_max(a.missing + feature, 1u);
  }
  __syncthreads();
  const int64_t row = first_row + minor;
  if (a.by_column == nullptr || row >= a.rows) return;
  for (int f = major; f < kBinTile && first_feature + f < a.features; f += kRowsAtOnce) {
    dev::stg(static_cast<Code*>(a.by_column) + (first_feature + f) * a.by_column_stride + row,
             static_cast<Code>(dev::lds(codes + (minor * (kBinTile + 1) + f))));
  }
}

// Where gradient and hessian of element i of the rows and outputs that take part stand.
struct GradientPlace {
  int64_t row, output, at;
  PYLLM_DEVICE GradientPlace(const TreeGradients& a, int64_t i)
      : row(a.rows == nullptr ? i % a.count : dev::ldg(a.rows + i % a.count)),
        output(i / a.count),
        at(row * a.row_stride + output * a.output_stride) {}
};

template <int kThreads>
__global__ void __launch_bounds__(kThreads) tree_gradients_start(TreeGradients a) {
  for (int64_t i = threadIdx.x; i < 2 * a.outputs; i += kThreads) {
    dev::stg(a.totals + i, int64_t{0});
  }
  if (threadIdx.x < 2) dev::stg(a.largest + threadIdx.x, 0u);
  if (threadIdx.x < 2) dev::stg(a.sums + threadIdx.x, int64_t{0});
  if (threadIdx.x == 2) dev::stg(a.sums + 2, INT64_MAX);
  if (threadIdx.x == 3) dev::stg(a.sums + 3, INT64_MIN);
}

// Bits of magnitudes order as the magnitudes do, with NaN above all.
template <int kThreads>
__global__ void __launch_bounds__(kThreads) tree_largest(TreeGradients a) {
  uint32_t gradient = 0, hessian = 0;
  constexpr uint32_t kMagnitude = 0x7FFFFFFFu;
  for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < a.count * a.outputs;
       i += int64_t{gridDim.x} * kThreads) {
    const GradientPlace place(a, i);
    const uint32_t g = dev::bits_of(dev::ldg(a.gradient + place.at)) & kMagnitude;
    const uint32_t h = dev::bits_of(dev::ldg(a.hessian + place.at)) & kMagnitude;
    gradient = g > gradient ? g : gradient;
    hessian = h > hessian ? h : hessian;
  }
  for (int offset = dev::kWarpSize / 2; offset > 0; offset /= 2) {
    const uint32_t g = __shfl_xor_sync(dev::kFullMask, gradient, offset);
    const uint32_t h = __shfl_xor_sync(dev::kFullMask, hessian, offset);
    gradient = g > gradient ? g : gradient;
    hessian = h > hessian ? h : hessian;
  }
  if (threadIdx.x % dev::kWarpSize > 0) return;
  dev::atomic_max(a.largest, gradient);
  dev::atomic_max(a.largest + 1, hessian);
}

// log2 of what a magnitude is multiplied by: the largest becomes just less than 2^bits.
PYLLM_DEVICE int scale_exponent(uint32_t largest, int bits) {
  if (largest == 0) return 0;
  const double x = dev::float_of(largest);  // a subnormal float is a normal double
  return bits - (static_cast<int>(dev::bits_of(x) >> 52) - 1022);
}
PYLLM_DEVICE double power_of_two(int exponent) {
  return dev::double_of(int64_t{exponent + 1023} << 52);
}

// The blocks of row blockIdx.y of the grid take output blockIdx.y. Word: int32_t or int64_t.
template <class Word, int kThreads>
__global__ void __launch_bounds__(kThreads) tree_quantize(TreeGradients a, int bits) {
  double scales[2];
#pragma unroll
  for (int k = 0; k < 2; ++k) {
    const uint32_t largest = dev::ldg(a.largest + k);
    scales[k] = a.levels == 0  ? power_of_two(scale_exponent(largest, bits))
                : largest == 0 ? 1.0
                               : static_cast<float>(a.levels) / dev::float_of(largest);
    if (blockIdx.x == 0 && blockIdx.y == 0 && threadIdx.x == 0) {
      dev::stg(a.units + k, dev::div_rn(1.0, scales[k]));
    }
  }
  using Pair = dev::Vec<Word, 2>;
  Pair* quantized = static_cast<Pair*>(a.quantized) + blockIdx.y * a.all_rows;
  int64_t sums[4] = {}, least = INT64_MAX, most = INT64_MIN;
  for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < a.count;
       i += int64_t{gridDim.x} * kThreads) {
    const GradientPlace place(a, blockIdx.y * a.count + i);
    double shifts[2] = {0.0, 0.0};
    if (a.stochastic) {
      // Elements 2 row and 2 row + 1 of the stream.
      const PhiloxWords random = philox(a.seed, a.stream + static_cast<uint64_t>(place.output),
                                        static_cast<uint64_t>(place.row) / 2);
      const bool odd = place.row % 2 != 0;
      // Rounding to nearest of x - 1/2 + u, with u never 0 or 1, rounds x down or up.
#pragma unroll
      for (int k = 0; k < 2; ++k) {
        shifts[k] = ((odd ? random.v[2 + k] : random.v[k]) + 0.5) * 0x1p-32 - 0.5;
      }
    }
    const double values[2] = {dev::ldg(a.gradient + place.at) * scales[0] + shifts[0],
                              dev::ldg(a.hessian + place.at) * scales[1] + shifts[1]};
    Pair word;
#pragma unroll
    for (int k = 0; k < 2; ++k) {
      const int64_t q = dev::round_even(values[k]);
      word.v[k] = static_cast<Word>(q);
      sums[k] += q;
      sums[2 + k] += q < 0 ? -q : q;
    }
    least = word.v[1] < least ? word.v[1] : least;
    most = word.v[1] > most ? word.v[1] : most;
    dev::stg(quantized + place.row, word);
  }
#pragma unroll
  for (int64_t& sum : sums) sum = dev::warp_reduce<dev::Sum>(sum);
  least = dev::warp_reduce<dev::Least>(least);
  most = -dev::warp_reduce<dev::Least>(-(most + 1)) - 1;
  if (threadIdx.x % dev::kWarpSize > 0) return;
#pragma unroll
  for (int k = 0; k < 2; ++k) {
    dev::atomic_add(a.totals + 2 * blockIdx.y + k, sums[k]);
    dev::atomic_add(a.sums + k, sums[2 + k]);
  }
  dev::atomic_min(a.sums + 2, least);
  dev::atomic_max(a.sums + 3, most);
}

}  // namespace pyllm::cuda
