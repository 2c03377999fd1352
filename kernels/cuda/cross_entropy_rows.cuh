// Cross-entropy of one row of n logits x with target y. With s the label smoothing, w the class
// weights, W their sum, z the weight of the squared log-partition:
//
//   lse    = log sum_c exp(x_c)
//   loss   = (1 - s) w_y (lse - x_y) + s / n (W lse - sum_c w_c x_c) + z w_y lse^2
//   dx_c   = exp(x_c - lse) ((1 - s) w_y + s W / n + 2 z w_y lse) - s w_c / n - (1 - s) w_y [c = y]
#pragma once

#include "indices.cuh"
#include "rows.cuh"

namespace pyllm::cuda {

// Maximum and sum of exponentials of the elements seen so far (Milakov and Gimelshein, 2018).
struct OnlineSum {
  float maximum = -INFINITY, sum = 0.0f;

  template <int K>
  PYLLM_DEVICE void add(const float (&x)[K]) {
    float higher = maximum;
#pragma unroll
    for (int k = 0; k < K; ++k) higher = dev::max(higher, x[k]);
    const float top = finite_top(higher);
    sum *= dev::exp(maximum - top);
#pragma unroll
    for (int k = 0; k < K; ++k) sum += dev::exp(x[k] - top);
    maximum = higher;
  }
  // Log of the sum over the threads of a row.
  template <class Team>
  PYLLM_DEVICE float log_sum_exp(const dev::Shared<float>& scratch) const {
    const float highest = Team::template reduce<dev::Max>(maximum, scratch);
    const float top = finite_top(highest);
    const float total = Team::template reduce<dev::Sum>(sum * dev::exp(maximum - top), scratch);
    return top + dev::log(total);
  }
  PYLLM_DEVICE static float finite_top(float maximum) {
    return maximum == -INFINITY ? 0.0f : maximum;
  }
};

template <class T>
struct RowLoss {
  const T* class_weight;
  int64_t n, target;
  float smoothing, z, target_weight, weight_sum;

  // `a` is one of the argument structs of cross_entropy.h.
  template <class Args>
  PYLLM_DEVICE RowLoss(const Args& a, int64_t row)
      : class_weight(static_cast<const T*>(a.class_weight)),
        n(a.n),
        target(load_index(a.targets, a.target_dtype, row)),
        smoothing(a.label_smoothing),
        z(a.z_loss),
        target_weight(is_class() ? weight(target) : 0.0f),
        weight_sum(class_weight == nullptr ? static_cast<float>(n)
                   : smoothing > 0.0f      ? dev::ldg(a.totals + 1)
                                           : 0.0f) {}

  PYLLM_DEVICE bool is_class() const { return target >= 0 && target < n; }
  PYLLM_DEVICE float weight(int64_t c) const {
    return class_weight == nullptr ? 1.0f : dev::to_float(dev::ldg(class_weight + c));
  }
  // sum_c w_c x_c, over the K elements from class i on.
  template <int K>
  PYLLM_DEVICE float weighted_sum(const float (&x)[K], int64_t i) const {
    float sum = 0.0f;
#pragma unroll
    for (int k = 0; k < K; ++k) sum += class_weight == nullptr ? x[k] : weight(i + k) * x[k];
    return sum;
  }
  PYLLM_DEVICE float loss(float lse, float at_target, float weighted_total) const {
    float value = (1.0f - smoothing) * target_weight * (lse - at_target);
    if (smoothing > 0.0f) {
      value += smoothing / static_cast<float>(n) * (weight_sum * lse - weighted_total);
    }
    return z != 0.0f ? value + z * target_weight * lse * lse : value;
  }
};

// The gradient of a row's loss, times `scale`.
template <class T>
struct RowGradient {
  const RowLoss<T>& rule;
  float lse, hit, even, slope;

  PYLLM_DEVICE RowGradient(const RowLoss<T>& r, float log_sum, float scale)
      : rule(r),
        lse(log_sum),
        hit(scale * (1.0f - r.smoothing) * r.target_weight),
        even(scale * r.smoothing / static_cast<float>(r.n)),
        slope(hit + even * r.weight_sum + 2.0f * scale * r.z * r.target_weight * lse) {}

  // From x to dx, the K elements from class i on.
  template <int K>
  PYLLM_DEVICE void apply(float (&x)[K], int64_t i) const {
#pragma unroll
    for (int k = 0; k < K; ++k) {
      x[k] = dev::exp(x[k] - lse) * slope;
      if (even != 0.0f) x[k] -= even * rule.weight(i + k);
      if (i + k == rule.target) x[k] -= hit;
    }
  }
};

}  // namespace pyllm::cuda
