// Lion (Chen et al. 2023, "Symbolic discovery of optimization algorithms", algorithm 2):
//
//   p = p (1 - lr decay) - lr sign(beta1 m + (1 - beta1) g),   m = beta2 m + (1 - beta2) g
//
// with g = grad_scale * grad; sign(0) = 0, NaN stays. For float32 that moves 20 bytes a parameter.
#pragma once

#include "lion.h"
#include "update.cuh"

namespace pyllm::cuda {

struct LionRule {
  static constexpr int kStates = 1;
  PYLLM_DEVICE static constexpr bool is_signed(int) { return true; }
  float beta1, beta2, rest1, rest2, rate, keep;

  PYLLM_DEVICE float operator()(float p, float g, float (&states)[1]) const {
    const float m = states[0], mixed = beta1 * m + rest1 * g;
    states[0] = beta2 * m + rest2 * g;
    return p * keep - (mixed > 0.0f ? rate : mixed < 0.0f ? -rate : mixed);
  }
};

}  // namespace pyllm::cuda
