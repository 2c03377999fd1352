// The activations and their derivatives at one x.
//
//   relu       max(x, 0), NaN stays NaN
//   gelu       x Phi(x), Phi the standard normal distribution            (Hendrycks & Gimpel, 2016)
//   gelu_tanh  x sigmoid(2 u), u = sqrt(2 / pi) (x + 0.044715 x^3)
//   silu       x sigmoid(x)
#pragma once

#include "activation.h"
#include "device.cuh"

namespace pyllm::cuda {

PYLLM_DEVICE float sigmoid(float x) {
  return 1.0f / (1.0f + dev::exp(-x));
}

// d/dx of x sigmoid(v(x)) with s = sigmoid(v). Where s is 0 or 1 the slope of v, which may have
// overflowed, no longer counts.
PYLLM_DEVICE float gated_slope(float x, float s, float v_slope) {
  const float t = s * (1.0f - s);
  return t > 0.0f ? s + x * t * v_slope : s;
}

struct Activated {
  float value, slope;

  PYLLM_DEVICE Activated(float x, int32_t kind) {
    constexpr float kCubic = 0.044715f, kTwoSqrt2OverPi = 1.59576912f;
    if (kind == kSilu) {
      const float s = sigmoid(x);
      value = x * s;
      slope = gated_slope(x, s, 1.0f);
    } else if (kind == kGeluTanh) {
      const float square = x * x, s = sigmoid(kTwoSqrt2OverPi * x * (1.0f + kCubic * square));
      value = x * s;
      slope = gated_slope(x, s, kTwoSqrt2OverPi * (1.0f + 3.0f * kCubic * square));
    } else if (kind == kGelu) {
      const float phi = 0.5f * (1.0f + dev::erf(x * 0.707106781f));
      value = x * phi;
      slope = phi + x * 0.398942280f * dev::exp(-0.5f * x * x);
    } else {
      value = x <= 0.0f ? 0.0f : x;
      slope = x > 0.0f ? 1.0f : 0.0f;
    }
  }
};

}  // namespace pyllm::cuda
