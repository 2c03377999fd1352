#pragma once

#include "core/isa.h"
#include "cpu/optim/parameters.h"

namespace pyllm {

struct SgdArgs : Parameters {
  State momentum_buffer;  // absent without momentum
  double lr = 0, momentum = 0, dampening = 0, weight_decay = 0;
  bool nesterov = false;
  bool first = false;  // the buffer starts as the gradient, undamped

  template <class F>
  void each_state(F&& f) {
    if (!momentum_buffer.is_absent()) f(momentum_buffer);
  }
};

PYLLM_KERNEL(sgd_step, (const SgdArgs& args));

}  // namespace pyllm
