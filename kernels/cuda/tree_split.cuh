// One block a feature and node: running integer sums of the bins, each thread one cut at a time,
// with the gain
//
//   score(left) + score(right) - score(node),   score(G, H) = T(G)^2 / (H + l2)
//
// and T the soft threshold by l1 (Chen and Guestrin 2016, equation 7, without the factor 1/2),
// summed over outputs. Then one warp a node picks the best feature. Ties go to the lower feature,
// missing values on the right, the lower bin, as on the CPU.
#pragma once

#include "exact.cuh"
#include "reduce.cuh"
#include "tree_split.h"

namespace pyllm::cuda {

constexpr int kSplitThreads = 256;

struct Sums {
  int64_t gradient, hessian;
};

// What a leaf with gradient sum g and hessian sum h weighs and gains, as csrc/cpu/trees/split.h.
struct TreeObjective {
  double l1, l2, max_delta_step, low, high;

  PYLLM_DEVICE TreeObjective(const TreeSplit& a, int64_t node)
      : l1(a.l1),
        l2(a.l2),
        max_delta_step(a.max_delta_step),
        low(a.bounds != nullptr ? dev::ldg(a.bounds + 2 * node) : -INFINITY),
        high(a.bounds != nullptr ? dev::ldg(a.bounds + 2 * node + 1) : INFINITY) {}

  PYLLM_DEVICE bool plain() const {
    return l1 == 0 && max_delta_step == 0 && low == -INFINITY && high == INFINITY;
  }
  PYLLM_DEVICE Exact weight(Exact g, Exact h) const {
    const Exact t = g > l1 ? g - l1 : g < -l1 ? g + l1 : Exact(0.0);
    const Exact d = h + l2;
    double w = d > 0.0 ? (-t / d).v : 0.0;
    if (max_delta_step > 0) {
      w = w > max_delta_step ? max_delta_step : w < -max_delta_step ? -max_delta_step : w;
    }
    return w < low ? low : w > high ? high : w;
  }
  PYLLM_DEVICE Exact gain(Exact g, Exact h, Exact w) const {
    const Exact l1_part = Exact(2.0 * l1) * (w < 0.0 ? -w : w);
    return -(Exact(2.0) * g * w + (h + l2) * w * w + l1_part);
  }
  // Of both children of a cut.
  PYLLM_DEVICE Exact gain(Exact gl, Exact hl, Exact g, Exact h, int monotone) const {
    const Exact gr = g - gl, hr = h - hl;
    if (plain() && monotone == 0) return gl * gl / (hl + l2) + gr * gr / (hr + l2);
    const Exact wl = weight(gl, hl), wr = weight(gr, hr);
    if (monotone > 0 ? wl > wr : monotone < 0 && wl < wr) return -INFINITY;
    if (!(hl + l2 > 0.0 && hr + l2 > 0.0)) return -INFINITY;  // an empty child
    return gain(gl, hl, wl) + gain(gr, hr, wr);
  }
};

// The best cut so far: the higher score, then the lower bin.
struct BestCut {
  double score = -INFINITY;
  int32_t cut = INT32_MAX;

  PYLLM_DEVICE void look_at(double other_score, int32_t other_cut) {
    if (other_score > score || (other_score == score && other_cut < cut)) {
      score = other_score;
      cut = other_cut;
    }
  }
  PYLLM_DEVICE void over_warp() {
    for (int offset = dev::kWarpSize / 2; offset > 0; offset /= 2) {
      const double other = __shfl_xor_sync(dev::kFullMask, score, offset);
      look_at(other, __shfl_xor_sync(dev::kFullMask, cut, offset));
    }
  }
};

PYLLM_DEVICE Sums load_sums(const int64_t* sums, int64_t i) {
  const auto pair = dev::ldg(reinterpret_cast<const dev::Vec<int64_t, 2>*>(sums) + i);
  return {pair.v[0], pair.v[1]};
}

// Of its first output.
PYLLM_DEVICE const int64_t* node_histogram(const TreeSplit& a, int64_t node) {
  const int64_t place = a.places != nullptr ? dev::ldg(a.places + node) : node;
  return a.histograms + place * a.outputs * a.total_bins * 2;
}

// Inclusive sums over the threads of a block of kSplitThreads; `scratch` holds two a warp.
PYLLM_DEVICE Sums block_running_sums(Sums value, const dev::Shared<int64_t>& scratch) {
  const int lane = threadIdx.x % dev::kWarpSize, warp = threadIdx.x / dev::kWarpSize;
  for (int offset = 1; offset < dev::kWarpSize; offset *= 2) {
    const int64_t g = __shfl_up_sync(dev::kFullMask, value.gradient, offset);
    const int64_t h = __shfl_up_sync(dev::kFullMask, value.hessian, offset);
    if (lane >= offset) value.gradient += g, value.hessian += h;
  }
  __syncthreads();  // the last call's readers are done
  if (lane == dev::kWarpSize - 1) {
    dev::sts(scratch + 2 * warp, value.gradient);
    dev::sts(scratch + (2 * warp + 1), value.hessian);
  }
  __syncthreads();
  for (int w = 0; w < warp; ++w) {
    value.gradient += dev::lds(scratch + 2 * w);
    value.hessian += dev::lds(scratch + (2 * w + 1));
  }
  return value;
}

// `carry`: the sums of all bins before this round's, by output and then of rows, in dynamic shared
// memory.
template <int kThreads>
__global__ void __launch_bounds__(kThreads) tree_split_features(TreeSplit a) {
  constexpr int kWarps = kThreads / dev::kWarpSize;
  PYLLM_SHARED(int64_t, scratch, 2 * kWarps);
  PYLLM_SHARED(double, best_scores, 2 * kWarps);
  PYLLM_SHARED(int32_t, best_cuts, 2 * kWarps);
  PYLLM_DYNAMIC_SHARED(int64_t, carry);
  const int64_t feature = blockIdx.x, node = blockIdx.y, at = node * a.features + feature;
  if (a.allowed != nullptr && !dev::ldg(a.allowed + at)) {
    if (threadIdx.x == 0) dev::stg(a.feature_gains + at, double{-INFINITY});
    return;
  }
  const TreeObjective objective(a, node);
  const double gradient_unit = dev::ldg(a.units), hessian_unit = dev::ldg(a.units + 1);
  const int monotone = a.monotone != nullptr ? dev::ldg(a.monotone + feature) : 0;
  const int32_t first = dev::ldg(a.bin_offset + feature);
  const int codes = dev::ldg(a.bin_offset + feature + 1) - first;
  const int bins = codes - (dev::ldg(a.has_missing + feature) ? 1 : 0);
  const int64_t* histogram = node_histogram(a, node) + first * 2;
  const auto output_sums = [&](int64_t output, int bin) {
    return load_sums(histogram + output * a.total_bins * 2, bin);
  };
  const auto total_of = [&](int64_t output) {
    return load_sums(a.totals, node * a.outputs + output);
  };
  const auto scaled = [](int64_t sum, double unit) {
    return Exact(static_cast<double>(sum)) * unit;
  };

  Exact parent = 0.0, total_hessian = 0.0;
  bool missing = false;
  for (int64_t o = 0; o < a.outputs; ++o) {
    const Sums total = total_of(o);
    const Exact g = scaled(total.gradient, gradient_unit), h = scaled(total.hessian, hessian_unit);
    parent = parent + objective.gain(g, h, objective.weight(g, h));
    total_hessian = total_hessian + h;
    if (bins < codes) {
      const Sums m = output_sums(o, bins);
      missing = missing || m.gradient != 0 || m.hessian != 0;
    }
  }
  for (int64_t i = threadIdx.x; i < 2 * (a.outputs + 1); i += kThreads) {
    dev::sts(carry + i, int64_t{0});
  }
  __syncthreads();
  // The sums of all bins up to the thread's own; `slot` is where they are carried on.
  const auto running = [&](Sums own, int64_t slot) {
    Sums sums = block_running_sums(own, scratch);
    sums.gradient += dev::lds(carry + 2 * slot);
    sums.hessian += dev::lds(carry + (2 * slot + 1));
    __syncthreads();
    if (threadIdx.x == kThreads - 1) {
      dev::sts(carry + 2 * slot, sums.gradient);
      dev::sts(carry + (2 * slot + 1), sums.hessian);
    }
    return sums;
  };
  const int64_t* counts =
      a.counts != nullptr ? a.counts + (node * a.total_bins + first) * 2 : nullptr;
  const int64_t rows = counts != nullptr ? dev::ldg(a.node_rows + node) : 0;
  const Exact by_count = Exact(static_cast<double>(a.least_hessian_sum)) * hessian_unit;
  const Exact least = by_count > a.min_child_weight ? by_count : Exact(a.min_child_weight);

  BestCut best[2];  // missing values right, left
  for (int begin = 0; begin < bins; begin += kThreads) {
    const int cut = begin + threadIdx.x;
    Exact gains[2] = {0.0, 0.0}, hessians[2] = {0.0, 0.0};
    for (int64_t o = 0; o < a.outputs; ++o) {
      Sums left = running(cut < bins ? output_sums(o, cut) : Sums{0, 0}, o);
      const Sums total = total_of(o);
      const Exact g = scaled(total.gradient, gradient_unit);
      const Exact h = scaled(total.hessian, hessian_unit);
#pragma unroll
      for (int side = 0; side < 2; ++side) {
        if (side == 1) {
          if (!missing) break;
          const Sums m = output_sums(o, bins);
          left.gradient += m.gradient, left.hessian += m.hessian;
        }
        const Exact gl = scaled(left.gradient, gradient_unit);
        const Exact hl = scaled(left.hessian, hessian_unit);
        gains[side] = gains[side] + objective.gain(gl, hl, g, h, monotone);
        hessians[side] = hessians[side] + hl;
      }
    }
    int64_t rows_left = 0;
    if (counts != nullptr) {
      rows_left = running(cut < bins ? load_sums(counts, cut) : Sums{0, 0}, a.outputs).hessian;
    }
#pragma unroll
    for (int side = 0; side < 2; ++side) {
      if (side == 1 && !missing) break;
      // With missing values on the right, the last cut parts them from all others.
      if (cut >= (missing && side == 0 ? bins : bins - 1)) continue;
      if (counts != nullptr) {
        const int64_t lefts = rows_left + (side == 1 ? load_sums(counts, bins).hessian : 0);
        if (lefts < a.min_child_samples || rows - lefts < a.min_child_samples) continue;
      }
      const Exact hl = hessians[side];
      const bool heavy = !(hl < least) && !(total_hessian - hl < least);
      if (heavy && gains[side] < INFINITY) best[side].look_at(gains[side].v, cut);
    }
  }

  const int lane = threadIdx.x % dev::kWarpSize, warp = threadIdx.x / dev::kWarpSize;
#pragma unroll
  for (int side = 0; side < 2; ++side) {
    best[side].over_warp();
    if (lane == 0) {
      dev::sts(best_scores + (side * kWarps + warp), best[side].score);
      dev::sts(best_cuts + (side * kWarps + warp), best[side].cut);
    }
  }
  __syncthreads();
  if (threadIdx.x > 0) return;
  double gain = -INFINITY;
  int32_t chosen = 0;
  for (int side = 0; side < 2; ++side) {
    BestCut winner;
    for (int w = 0; w < kWarps; ++w) {
      winner.look_at(dev::lds(best_scores + (side * kWarps + w)),
                     dev::lds(best_cuts + (side * kWarps + w)));
    }
    if (winner.score == -INFINITY) continue;
    const Exact gained = Exact(winner.score) - parent;
    // Rounding can lift a gain of nothing above zero.
    if (gained > a.min_gain && gained > Exact(1e-12) * winner.score && gained > gain) {
      gain = gained.v;
      chosen = 2 * winner.cut + side;
    }
  }
  dev::stg(a.feature_gains + at, gain);
  dev::stg(a.feature_cuts + at, chosen);
}

template <int kThreads>
__global__ void __launch_bounds__(kThreads) tree_split_nodes(TreeSplit a) {
  static_assert(kThreads == dev::kWarpSize);
  const int64_t node = blockIdx.x;
  BestCut best;  // here of features
  for (int64_t f = threadIdx.x; f < a.features; f += kThreads) {
    const double gain = dev::ldg(a.feature_gains + node * a.features + f);
    if (gain > -INFINITY) best.look_at(gain, static_cast<int32_t>(f));
  }
  best.over_warp();
  const bool found = best.cut != INT32_MAX;
  const int64_t feature = found ? best.cut : 0;
  const int32_t chosen = found ? dev::ldg(a.feature_cuts + node * a.features + feature) : 0;
  const int bin = chosen / 2, missing_left = chosen % 2;
  if (threadIdx.x == 0) {
    dev::stg(a.gains + node, best.score);
    dev::stg(a.features_found + node, found ? best.cut : -1);
    dev::stg(a.bins + node, bin);
    dev::stg(a.missing_left + node, missing_left);
  }
  if (!found) return;
  const int32_t first = dev::ldg(a.bin_offset + feature);
  const int missing = dev::ldg(a.bin_offset + feature + 1) - first - 1;
  const int64_t* all = node_histogram(a, node);
  if (a.saw_missing != nullptr && threadIdx.x == 0) {
    bool saw = false;
    for (int64_t o = 0; o < a.outputs && dev::ldg(a.has_missing + feature); ++o) {
      const Sums m = load_sums(all + (o * a.total_bins + first) * 2, missing);
      saw = saw || m.gradient != 0 || m.hessian != 0;
    }
    dev::stg(a.saw_missing + node, int32_t{saw});
  }
  for (int64_t o = 0; o < a.outputs; ++o) {
    const int64_t* histogram = all + (o * a.total_bins + first) * 2;
    Sums left{0, 0};
    for (int i = threadIdx.x; i <= bin + missing_left; i += kThreads) {
      const Sums sums = load_sums(histogram, i <= bin ? i : missing);
      left.gradient += sums.gradient, left.hessian += sums.hessian;
    }
    left.gradient = dev::warp_reduce<dev::Sum>(left.gradient);
    left.hessian = dev::warp_reduce<dev::Sum>(left.hessian);
    if (threadIdx.x > 0) continue;
    int64_t* to = a.left + (node * a.outputs + o) * 2;
    dev::stg(to, left.gradient);
    dev::stg(to + 1, left.hessian);
  }
}

}  // namespace pyllm::cuda
