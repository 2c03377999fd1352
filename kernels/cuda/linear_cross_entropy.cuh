// The loss of a chunk of logits and its gradient, in place: one block a row, rows aligned.
//
// A row is read for its log-sum-exp, and again (most likely from L2) for its gradient, which is
// written over it. A gradient of 16 bits takes half the room, so its writer overtakes readers of
// the same row: all threads read a tile before any of them writes it, and tile t is written to
// bytes that tiles up to t have been read from.
#pragma once

#include "cross_entropy_rows.cuh"
#include "linear_cross_entropy.h"

namespace pyllm::cuda {

constexpr int kLinearLossThreads = 512, kLossColumnThreads = 128;

// T: type of bias and class weights; G: of the gradient.
template <class T, class G, bool kGradient>
__global__ void __launch_bounds__(kLinearLossThreads, 2)
    linear_cross_entropy_chunk(LinearCrossEntropy a, int64_t first_row) {
  using Team = RowTeam<kLinearLossThreads>;
  constexpr int W = dev::kVecWidth<float>;
  PYLLM_SHARED(float, scratch, Team::kScratch);
  float* x = a.logits + blockIdx.x * a.logits_row_stride;
  G* dx = reinterpret_cast<G*>(x);
  const int64_t row = first_row + blockIdx.x;
  const RowLoss<T> rule(a, row);
  const T* bias = static_cast<const T*>(a.bias);
  const bool counts = rule.target != a.ignore_index && rule.is_class();
  // The K logits from class i on.
  const auto load = [&](auto& s, int64_t i) {
    load_row(s, x + i, 0);
    if (bias == nullptr) return;
#pragma unroll
    for (int k = 0; k < static_cast<int>(sizeof(s) / sizeof(float)); ++k) {
      s[k] += dev::to_float(dev::ldg(bias + i + k));
    }
  };
  float lse = rule.target == a.ignore_index ? 0.0f : NAN;
  if (counts) {
    OnlineSum online;
    float weighted = 0.0f;
    for_row<float, W, kLinearLossThreads>(x, a.n, threadIdx.x, [&](auto width, int64_t i) {
      float s[decltype(width)::value];
      load(s, i);
      online.add(s);
      if (rule.smoothing > 0.0f) weighted += rule.weighted_sum(s, i);
    });
    lse = online.log_sum_exp<Team>(scratch);
    if (rule.smoothing > 0.0f) weighted = Team::template reduce<dev::Sum>(weighted, scratch);
    if (threadIdx.x == 0) {
      float hit[1];
      load(hit, rule.target);
      dev::stg(a.losses + row, rule.loss(lse, hit[0], weighted));
    }
    // The logit of the target has been read before any other thread writes to the row.
    if constexpr (kGradient) __syncthreads();
  } else if (threadIdx.x == 0) {
    dev::stg(a.losses + row, lse);
  }
  if constexpr (!kGradient) return;
  const RowGradient<T> gradient(rule, lse, 1.0f);
  const auto gradient_of = [&](auto& s, int64_t i) {
    if (counts) {
      load(s, i);
      gradient.apply(s, i);
    } else {
#pragma unroll
      for (float& value : s) value = lse;
    }
  };
  constexpr int64_t kTile = kLinearLossThreads * W;
  for (int64_t begin = 0; begin < a.n; begin += kTile) {
    const int64_t i = begin + threadIdx.x * W;
    float s[W], last[1];
    const int64_t left = a.n - i;
    if (left >= W) gradient_of(s, i);
    // The last few classes, one a thread.
    const int64_t rest = a.n / W * W + threadIdx.x;
    const bool has_last = begin + kTile >= a.n && rest < a.n;
    if (has_last) gradient_of(last, rest);
    if constexpr (sizeof(G) < sizeof(float)) __syncthreads();
    if (left >= W) store_row(dx + i, 0, s);
    if (has_last) store_row(dx + rest, 0, last);
  }
}

// sums (n,) += the column sums of the chunk's gradient; each thread walks down kWide columns.
template <class G>
__global__ void __launch_bounds__(kLossColumnThreads)
    linear_cross_entropy_columns(LinearCrossEntropy a, int64_t rows, int32_t fresh) {
  constexpr int kWide = static_cast<int>(sizeof(float) / sizeof(G));
  const int64_t column = (int64_t{blockIdx.x} * kLossColumnThreads + threadIdx.x) * kWide;
  if (column >= a.n) return;
  const G* gradient = reinterpret_cast<const G*>(a.logits) + column;
  float sum[kWide] = {}, g[kWide];
#pragma unroll 4
  for (int64_t row = 0; row < rows; ++row) {
    load_row(g, gradient + row * a.logits_row_stride * kWide, 0);
#pragma unroll
    for (int k = 0; k < kWide; ++k) sum[k] += g[k];
  }
#pragma unroll
  for (int k = 0; k < kWide; ++k) {
    if (column + k >= a.n) break;
    float* to = a.dbias_sums + column + k;
    dev::stg(to, fresh ? sum[k] : dev::ldg(to) + sum[k]);
  }
}

// alpha, and the two values of beta, for the products back. Where no target counts, gradients are
// 0.
__global__ void __launch_bounds__(dev::kWarpSize)
    linear_cross_entropy_scales(LinearCrossEntropy a) {
  if (threadIdx.x > 0) return;
  const float total = a.mean ? dev::ldg(a.totals) : 1.0f;
  dev::stg(a.scales, total == 0.0f ? 0.0f : a.grad_scale / total);
  dev::stg(a.scales + 1, 0.0f);
  dev::stg(a.scales + 2, 1.0f);
}

// out = scale sums (+ out); without sums, zeros.
struct AddSums {
  void* out;
  const float* sums;   // or null
  const float* scale;  // on the device, or null for 1
  int64_t n;
  int32_t accumulate;
};

template <class G>
__global__ void __launch_bounds__(kLossColumnThreads) add_sums(AddSums a) {
  const int64_t i = int64_t{blockIdx.x} * kLossColumnThreads + threadIdx.x;
  if (i >= a.n) return;
  float value = a.sums != nullptr ? dev::ldg(a.sums + i) : 0.0f;
  if (a.scale != nullptr) value *= dev::ldg(a.scale);
  G* out = static_cast<G*>(a.out) + i;
  if (a.accumulate) value += dev::to_float(dev::ldg(out));
  dev::stg(out, dev::from_float<G>(value));
}

}  // namespace pyllm::cuda
