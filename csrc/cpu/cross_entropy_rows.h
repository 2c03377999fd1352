// Cross-entropy of one row of n logits x with target y. With s the label smoothing, w the class
// weights, W their sum, z the weight of the squared log-partition:
//
//   lse    = log sum_c exp(x_c)
//   loss   = (1 - s) w_y (lse - x_y) + s / n sum_c w_c (lse - x_c) + z w_y lse^2
//   dx_c   = exp(x_c - lse) ((1 - s) w_y + s W / n + 2 z w_y lse) - s w_c / n - (1 - s) w_y [c = y]
//
// The mean over rows divides by the sum of w_y over the rows that are not ignored, as torch does.
// z w_y lse^2 keeps the partition function near 1 (the z-loss of PaLM).
#pragma once

#include <cmath>
#include <vector>

#include "cpu/cross_entropy.h"
#include "cpu/exp_sum.h"
#include "cpu/rows.h"
#include "cpu/streaming.h"
#include "cpu/vmath.h"

namespace pyllm::PYLLM_ISA {

template <class C>
class RowLoss {
 public:
  RowLoss(const CrossEntropyOptions& o, int64_t classes)
      : o_(o), classes_(classes), smoothing_(C(o.label_smoothing)), z_(C(o.z_loss)) {
    if (!o.class_weight) {
      weight_sum_ = C(classes);
      return;
    }
    weights_ = widened<C>(*o.class_weight);
    double total = 0;
    for (const C w : weights_) total += double(w);
    weight_sum_ = C(total);
  }

  bool ignored(int64_t row) const { return o_.targets[row] == o_.ignore_index; }

  // What the mean divides by.
  double total_weight(int64_t rows) const {
    double total = 0;
    for (int64_t r = 0; r < rows; ++r) {
      if (!ignored(r)) total += double(weight(o_.targets[r]));
    }
    return total;
  }

  // The loss of one row before the reduction; 0 if it is ignored.
  template <class T>
  C loss(const T* x, int64_t row, C& lse) const {
    lse = 0;
    if (ignored(row)) return 0;
    const int64_t y = o_.targets[row];
    const ExpSum<C> sum = exp_sum(x, classes_, C(1));
    lse = sum.top + std::log(sum.total);  // -inf where all logits are
    C value = (1 - smoothing_) * weight(y) * (lse - C(widen(x[y])));
    if (smoothing_ > 0) value += smoothing_ / C(classes_) * smoothed(x, lse);
    if (z_ != 0) value += z_ * weight(y) * lse * lse;
    return value;
  }

  // dx = scale times the gradient of the row's loss; dx may be x.
  template <class T, class Put = Cached>
  void gradient(const T* x, T* dx, int64_t row, C lse, C scale, Put put = {}) const {
    using V = Vec<C>;
    if (ignored(row)) {
      for (int64_t c = 0; c < classes_; ++c) dx[c] = T{};
      return;
    }
    const int64_t y = o_.targets[row];
    const C hit = scale * (1 - smoothing_) * weight(y);
    const C even = scale * smoothing_ / C(classes_);
    const C slope = hit + even * weight_sum_ + 2 * scale * z_ * weight(y) * lse;
    const C at_target = std::exp(C(widen(x[y])) - lse) * slope - even * weight(y) - hit;
    const auto spread = [&](int64_t c, int count) {
      return exp2_nonpositive((load(x + c, count) - lse) * C(kLog2E)) * slope;
    };
    if (smoothing_ == 0) {
      write_vectors(put, dx, classes_, spread);
    } else {
      write_vectors(put, dx, classes_, [&](int64_t c, int count) {
        return spread(c, count) - (weights_.empty() ? V(even) : load(&weights_[c], count) * even);
      });
    }
    dx[y] = narrow<T>(at_target);
  }

 private:
  C weight(int64_t c) const { return weights_.empty() ? C(1) : weights_[c]; }

  // sum_c w_c (lse - x_c)
  template <class T>
  C smoothed(const T* x, C lse) const {
    using V = Vec<C>;
    V total = C(0);
    for (int64_t c = 0; c < classes_; c += V::lanes) {
      const int count = lanes_left<C>(classes_ - c);
      V term = V(lse) - load(x + c, count, lse);
      if (!weights_.empty()) term *= load(&weights_[c], count);
      total += term;
    }
    return sum(total);
  }

  const CrossEntropyOptions& o_;
  int64_t classes_;
  C smoothing_, z_, weight_sum_;
  std::vector<C> weights_;
};

// The reduction of `rows` losses into `loss` (one a row, or a single element), in row order.
template <class C>
void reduce_losses(const C* losses, int64_t rows, Reduction reduction, double total_weight,
                   C* loss) {
  if (reduction == Reduction::none) {
    for (int64_t r = 0; r < rows; ++r) loss[r] = losses[r];
    return;
  }
  double total = 0;
  for (int64_t r = 0; r < rows; ++r) total += double(losses[r]);
  *loss = C(reduction == Reduction::mean ? total / total_weight : total);
}

}  // namespace pyllm::PYLLM_ISA
