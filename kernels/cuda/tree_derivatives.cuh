// One thread a row. All arithmetic is in double, each operation rounded once as on the CPU, and the
// results once to float32.
#pragma once

#include "exact_math.cuh"
#include "launch.cuh"
#include "tree_derivatives.h"

namespace pyllm::cuda {

constexpr int kDerivativeRows = 256;  // of a block

struct Derivatives {
  Exact gradient, hessian;
};

PYLLM_DEVICE double clamp(double x, double bound) {
  x = x < -bound ? -bound : x;
  return x > bound ? bound : x;
}
// Hessians that could vanish.
PYLLM_DEVICE Exact at_least_smallest(Exact hessian) {
  constexpr double kSmallest = 1e-16;
  return hessian.v < kSmallest ? Exact(kSmallest) : hessian;
}

// At margin s and target y; the loss is that of the whole grid.
PYLLM_DEVICE Derivatives derivatives(int32_t loss, double parameter, double s, double y) {
  const Exact p = parameter;
  switch (loss) {
    case kTreeAbsolute:
      return {(s > y ? 1.0 : 0.0) - (s < y ? 1.0 : 0.0), 1.0};
    case kTreeHuber:
      return {clamp((Exact(s) - y).v, parameter), 1.0};
    case kTreeQuantile:
      return {s > y ? Exact(1.0) - p : s < y ? -p : Exact(0.0), 1.0};
    case kTreePoisson: {
      const Exact mean = exact_exp(clamp(s, 40.0));
      return {mean - y, mean * 2.0137527074704766};
    }
    case kTreeGamma: {
      const Exact ratio = Exact(y) * exact_exp(-clamp(s, 40.0));
      return {Exact(1.0) - ratio, at_least_smallest(ratio)};
    }
    case kTreeTweedie: {
      const Exact a = Exact(1.0) - p, b = Exact(2.0) - p, x = clamp(s, 40.0);
      const Exact left = Exact(y) * exact_exp((a * x).v), right = exact_exp((b * x).v);
      return {right - left, at_least_smallest(b * right - a * left)};
    }
    case kTreeLogistic: {
      const Exact q = exact_sigmoid(s);
      return {q - y, at_least_smallest(q * (Exact(1.0) - q))};
    }
    default:  // squared
      return {Exact(s) - y, 1.0};
  }
}

template <int kThreads>
__global__ void __launch_bounds__(kThreads) tree_derivatives(TreeDerivatives a) {
  const int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i >= a.rows) return;
  Derivatives d = derivatives(a.loss, a.parameter, dev::ldg(a.margin + i), dev::ldg(a.target + i));
  if (a.weight != nullptr) {
    const Exact weight = dev::ldg(a.weight + i);
    d = {d.gradient * weight, d.hessian * weight};
  }
  dev::stg(a.gradient + i, static_cast<float>(d.gradient.v));
  dev::stg(a.hessian + i, static_cast<float>(d.hessian.v));
}

// Exponentials are computed twice instead of kept.
template <int kThreads>
__global__ void __launch_bounds__(kThreads) tree_softmax_derivatives(TreeSoftmaxDerivatives a) {
  const int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i >= a.rows) return;
  double top = dev::ldg(a.margin + i);
  for (int64_t k = 1; k < a.classes; ++k) {
    const double margin = dev::ldg(a.margin + k * a.rows + i);
    top = margin > top ? margin : top;
  }
  const auto exponential = [&](int64_t k) {
    return Exact(exact_exp((Exact(dev::ldg(a.margin + k * a.rows + i)) - top).v));
  };
  Exact total = 0.0;
  for (int64_t k = 0; k < a.classes; ++k) total = total + exponential(k);
  const Exact inverse = Exact(1.0) / total;
  const Exact weight = a.weight != nullptr ? dev::ldg(a.weight + i) : 1.0;
  const int64_t others = a.classes > 2 ? a.classes - 1 : 1;
  const Exact factor = Exact(static_cast<double>(a.classes)) / static_cast<double>(others);
  const int32_t target = dev::ldg(a.target + i);
  const bool is_class = target >= 0 && target < a.classes;
  for (int64_t k = 0; k < a.classes; ++k) {
    const Exact p = exponential(k) * inverse;
    const Exact gradient = (p - (target == k ? 1.0 : 0.0)) * weight;
    const Exact hessian = at_least_smallest(factor * (p * (Exact(1.0) - p))) * weight;
    dev::stg(a.gradient + k * a.rows + i, is_class ? static_cast<float>(gradient.v) : NAN);
    dev::stg(a.hessian + k * a.rows + i, is_class ? static_cast<float>(hessian.v) : NAN);
  }
}

}  // namespace pyllm::cuda
