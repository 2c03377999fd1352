#pragma once

#include "cpu/cross_entropy.h"

namespace pyllm {

// Cross-entropy of hidden weight^T + bias. hidden and dhidden (..., in) of any strides,
// weight (classes, in). loss: contiguous, compute dtype, one a row (none) or a single element. With
// gradients set, also grad_scale times the gradient of the (summed, where `none`) loss.
struct LinearCrossEntropyArgs {
  Array hidden, weight, loss;
  const Array* bias = nullptr;
  CrossEntropyOptions options;
  bool gradients = false;
  double grad_scale = 1.0;
  Array dhidden, dweight;
  const Array* dbias = nullptr;
  bool accumulate = false;  // add to what dweight and dbias hold
};

PYLLM_KERNEL(linear_cross_entropy, (const LinearCrossEntropyArgs& args));

}  // namespace pyllm
