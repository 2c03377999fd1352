// Cross-entropy over rows of any length, aligned or not: a warp a row up to 1,024 classes, else a
// block. Forward reads the logits once (the logit of the target twice) and keeps nothing of them;
// backward reads them once and writes the gradient once. Formulas: cross_entropy_rows.cuh.
//
// Sums over rows are taken by one block in float64, each thread every 512th row, in a fixed order.
#pragma once

#include "cross_entropy.h"
#include "cross_entropy_rows.cuh"

namespace pyllm::cuda {

constexpr int kCrossEntropyThreads = 256, kTotalsThreads = 512;
constexpr int64_t kCrossEntropyWarpRow = 1024;

template <class T>
__global__ void __launch_bounds__(kTotalsThreads, 2) cross_entropy_totals(CrossEntropyTotals a) {
  PYLLM_SHARED(double, scratch, kTotalsThreads / dev::kWarpSize);
  PYLLM_SHARED(int64_t, rows_scratch, kTotalsThreads / dev::kWarpSize);
  const T* class_weight = static_cast<const T*>(a.class_weight);
  const auto weight = [&](int64_t c) -> double {
    return class_weight == nullptr ? 1.0f : dev::to_float(dev::ldg(class_weight + c));
  };
  double of_targets = 0.0, of_classes = 0.0;
  int64_t bad = INT64_MAX;
#pragma unroll 4
  for (int64_t row = threadIdx.x; row < a.rows; row += kTotalsThreads) {
    const int64_t y = load_index(a.targets, a.target_dtype, row);
    if (y >= 0 && y < a.n) {
      if (y != a.ignore_index) of_targets += weight(y);
    } else if (y != a.ignore_index && row < bad) {
      bad = row;
    }
  }
  if (class_weight != nullptr) {
    for (int64_t c = threadIdx.x; c < a.n; c += kTotalsThreads) of_classes += weight(c);
  }
  of_targets = dev::block_reduce<dev::Sum, kTotalsThreads>(of_targets, scratch);
  of_classes = dev::block_reduce<dev::Sum, kTotalsThreads>(of_classes, scratch);
  bad = first_of_block<kTotalsThreads>(bad, rows_scratch);
  if (threadIdx.x > 0) return;
  dev::stg(a.totals, static_cast<float>(of_targets));
  dev::stg(a.totals + 1, static_cast<float>(class_weight == nullptr ? a.n : of_classes));
  dev::stg(a.first_bad, bad);
}

template <class T, int W, int kThreads>
__global__ void __launch_bounds__(RowTeam<kThreads>::kBlock, 4)
    cross_entropy_forward(CrossEntropyForward a) {
  using Team = RowTeam<kThreads>;
  PYLLM_SHARED(float, scratch, Team::kScratch);
  const int64_t row = Team::row();
  if (row >= a.rows) return;
  const RowLoss<T> rule(a, row);
  if (rule.target == a.ignore_index || !rule.is_class()) {
    if (Team::rank() > 0) return;
    const float value = rule.target == a.ignore_index ? 0.0f : NAN;
    dev::stg(a.losses + row, value);
    dev::stg(a.lse + row, value);
    return;
  }
  const T* x = static_cast<const T*>(a.logits) + row * a.logits_row_stride;
  OnlineSum online;
  float weighted = 0.0f;
  for_row<T, W, kThreads>(x, a.n, Team::rank(), [&](auto width, int64_t i) {
    float s[decltype(width)::value];
    load_row(s, x + i, 0);
    online.add(s);
    if (rule.smoothing > 0.0f) weighted += rule.weighted_sum(s, i);
  });
  const float lse = online.log_sum_exp<Team>(scratch);
  if (rule.smoothing > 0.0f) weighted = Team::template reduce<dev::Sum>(weighted, scratch);
  if (Team::rank() > 0) return;
  dev::stg(a.losses + row, rule.loss(lse, dev::to_float(dev::ldg(x + rule.target)), weighted));
  dev::stg(a.lse + row, lse);
}

__global__ void __launch_bounds__(kTotalsThreads, 2) cross_entropy_reduce(CrossEntropyReduce a) {
  PYLLM_SHARED(double, scratch, kTotalsThreads / dev::kWarpSize);
  double sum = 0.0;
#pragma unroll 4
  for (int64_t row = threadIdx.x; row < a.rows; row += kTotalsThreads) {
    sum += dev::ldg(a.losses + row);
  }
  sum = dev::block_reduce<dev::Sum, kTotalsThreads>(sum, scratch);
  if (threadIdx.x > 0) return;
  if (a.mean) sum /= dev::ldg(a.totals);
  dev::stg(a.loss, static_cast<float>(sum));
}

// What the gradient of a row's loss is multiplied by.
PYLLM_DEVICE float row_scale(const CrossEntropyBackward& a, int64_t row) {
  float scale = a.grad_scale;
  if (a.grad != nullptr) scale *= dev::ldg(a.grad + (a.grad_per_row ? row : 0));
  return a.mean ? scale / dev::ldg(a.totals) : scale;
}

// W > 1: logits and dlogits of a row are equally far from a multiple of 16 bytes.
template <class T, int W, int kThreads>
__global__ void __launch_bounds__(RowTeam<kThreads>::kBlock)
    cross_entropy_backward(CrossEntropyBackward a) {
  using Team = RowTeam<kThreads>;
  const int64_t row = Team::row();
  if (row >= a.rows) return;
  const RowLoss<T> rule(a, row);
  const T* x = static_cast<const T*>(a.logits) + row * a.logits_row_stride;
  T* dx = static_cast<T*>(a.dlogits) + row * a.dlogits_row_stride;
  if (rule.target == a.ignore_index || !rule.is_class()) {
    const float value = rule.target == a.ignore_index ? 0.0f : NAN;
    for_row<T, W, kThreads>(dx, a.n, Team::rank(), [&](auto width, int64_t i) {
      float g[decltype(width)::value];
#pragma unroll
      for (float& element : g) element = value;
      store_row(dx + i, 0, g);
    });
    return;
  }
  const RowGradient<T> gradient(rule, dev::ldg(a.lse + row), row_scale(a, row));
  for_row<T, W, kThreads>(dx, a.n, Team::rank(), [&](auto width, int64_t i) {
    float g[decltype(width)::value];
    load_row(g, x + i, 0);
    gradient.apply(g, i);
    store_row(dx + i, 0, g);
  });
}

}  // namespace pyllm::cuda
