#pragma once

#include "core/array.h"
#include "core/isa.h"
#include "cpu/activations.h"

namespace pyllm {

// y = activation(x weight^T + bias). x (..., in), weight (out, in), bias (out), y (..., out).
struct LinearArgs {
  Array x, weight, y;
  const Array* bias = nullptr;
  const Array* preactivation = nullptr;  // where to keep x weight^T + bias; shape of y
  Activation activation = Activation::none;
};

// With g = grad activation'(preactivation): dx = g weight, dweight = g^T x, dbias = sum of g over
// all rows. dweight and dbias may be float32 where the rest is narrower.
struct LinearBackwardArgs {
  Array grad, x, weight;
  const Array* preactivation = nullptr;  // needed unless activation is none
  Activation activation = Activation::none;
  const Array* dx = nullptr;
  const Array* dweight = nullptr;
  const Array* dbias = nullptr;
  bool accumulate = false;  // add to what dweight and dbias hold
};

PYLLM_KERNEL(linear_forward, (const LinearArgs& args));
PYLLM_KERNEL(linear_backward, (const LinearBackwardArgs& args));

}  // namespace pyllm
