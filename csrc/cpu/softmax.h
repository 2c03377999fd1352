#pragma once

#include "core/array.h"
#include "core/isa.h"

namespace pyllm {

// y = softmax(x / temperature) along `axis`, or its logarithm. Elements whose mask is 0 take no
// part: probability 0, log-probability -inf; a row without any part is all zeros (all -inf). A mask
// of numbers is added to x / temperature instead: -inf leaves out.
struct SoftmaxArgs {
  Array x;
  Array y;                      // shape and dtype of x
  const Array* mask = nullptr;  // boolean or floating, strides broadcast to x
  int axis = 0;
  double temperature = 1.0;
  bool log = false;
};

// dx from dy and the forward's result y.
struct SoftmaxBackwardArgs {
  Array dy;
  Array y;
  Array dx;
  int axis = 0;
  double temperature = 1.0;
  bool log = false;
};

PYLLM_KERNEL(softmax_forward, (const SoftmaxArgs& args));
PYLLM_KERNEL(softmax_backward, (const SoftmaxBackwardArgs& args));

}  // namespace pyllm
