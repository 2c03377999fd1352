#pragma once

#include "core/isa.h"
#include "cpu/optim/parameters.h"

namespace pyllm {

struct LionArgs : Parameters {
  State exp_avg;
  double lr = 0, beta1 = 0, beta2 = 0, weight_decay = 0;

  template <class F>
  void each_state(F&& f) {
    f(exp_avg);
  }
};

PYLLM_KERNEL(lion_step, (const LionArgs& args));

}  // namespace pyllm
