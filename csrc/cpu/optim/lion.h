#pragma once

#include "core/isa.h"
#include "cpu/optim/parameters.h"

namespace pyllm {

struct LionArgs : Parameters {
  Array exp_avg;
  double lr = 0, beta1 = 0, beta2 = 0, weight_decay = 0;
};

PYLLM_KERNEL(lion_step, (const LionArgs& args));

}  // namespace pyllm
