// Stochastic gradient descent with momentum (Sutskever et al. 2013, as torch writes it):
//
//   g = grad_scale * grad + decay * p
//   b = momentum b + (1 - dampening) g      (first step: b = g)
//   p = p - lr b                            (Nesterov: p - lr (g + momentum b); plain: p - lr g)
//
// For float32 that moves 20 bytes a parameter with momentum, 12 without.
#pragma once

#include "sgd.h"
#include "update.cuh"

namespace pyllm::cuda {

struct SgdRule {
  static constexpr int kStates = 0;
  PYLLM_DEVICE static constexpr bool is_signed(int) { return true; }
  float lr, l2;

  PYLLM_DEVICE float operator()(float p, float g, float (&)[1]) const {
    return p - lr * (g + l2 * p);
  }
};

struct MomentumRule {
  static constexpr int kStates = 1;
  PYLLM_DEVICE static constexpr bool is_signed(int) { return true; }
  float l2, momentum, fresh, of_gradient, of_buffer;
  int32_t first;

  PYLLM_DEVICE float operator()(float p, float g, float (&states)[1]) const {
    g += l2 * p;
    const float b = states[0] = first ? g : momentum * states[0] + fresh * g;
    return p - (of_gradient * g + of_buffer * b);
  }
};

}  // namespace pyllm::cuda
