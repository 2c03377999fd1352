// Adam (Kingma and Ba, 2015), AdamW (Loshchilov and Hutter, 2019), AMSGrad (Reddi et al., 2018):
//
//   m = beta1 m + (1 - beta1) g,  v = beta2 v + (1 - beta2) g^2       (AMSGrad: w = max(w, v))
//   p = p (1 - lr decay) - lr m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps)
//
// with g = grad * grad_scale (Adam: + decay p). For float32 that moves 28 bytes a parameter: p, g,
// m, v read; p, m, v written. With quantised moments 16.
#pragma once

#include "adamw.h"
#include "update.cuh"

namespace pyllm::cuda {

template <bool kLargest>
struct AdamWRule {
  static constexpr int kStates = kLargest ? 3 : 2;
  PYLLM_DEVICE static constexpr bool is_signed(int state) { return state == 0; }
  float step_size, root_correction, beta1, beta2, rest1, rest2, eps, keep, l2;

  PYLLM_DEVICE float operator()(float p, float g, float (&states)[kStates]) const {
    g += l2 * p;
    const float m = states[0] = beta1 * states[0] + rest1 * g;
    float v = states[1] = beta2 * states[1] + rest2 * g * g;
    if constexpr (kLargest) v = states[2] = v > states[2] || v != v ? v : states[2];
    return keep * p - step_size * m / (dev::sqrt(v) * root_correction + eps);
  }
};

}  // namespace pyllm::cuda
