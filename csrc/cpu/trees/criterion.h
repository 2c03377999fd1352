// What the splits of averaged trees raise, where that is a likelihood; for absolute errors see
// median_splits.h.
//
// A row's gradient is -w y and its hessian w, so a node's sums are S = -G = sum(w y) and W = H. As
// a leaf it predicts the mean S / W, and the log-likelihood of its rows is, up to what no split
// changes,
//
//   poisson, multinomial   S log(S / W)                          summed over outputs
//   bernoulli              that, and (W - S) log(1 - S / W)      one output stands for two classes
//
// Twice the Poisson one is half of what a split lowers the deviance by; the other two, over log 2,
// are what it lowers the entropy by, times the rows. Written as log(mean of the child / mean of the
// node) a gain of nothing is 0, not a difference of large numbers. Multinomial outputs may sum to 0
// in a child, Poisson means may not.
#pragma once

#include <cstdint>

#include "cpu/trees/portable_math.h"

namespace pyllm {
namespace trees {
enum class Criterion : uint8_t { newton, poisson, multinomial, bernoulli, absolute };
}
namespace {

// S log(S / W / mean), 0 for S = 0. mean: of the node, above 0 where S is.
inline double likelihood_part(double sum, double weight, double mean) {
  const bool some = sum > 0 && weight > 0;
  const double ratio = some ? sum / weight / mean : 1.0;
  return some ? sum * portable_log(ratio) : 0.0;
}

// How much a child raises the likelihood over the mean S / W of its node.
inline double likelihood_gain(trees::Criterion criterion, double sum, double weight, double mean) {
  const double gain = likelihood_part(sum, weight, mean);
  if (criterion != trees::Criterion::bernoulli) return gain;
  return gain + likelihood_part(weight - sum, weight, 1.0 - mean);
}

}  // namespace
}  // namespace pyllm
