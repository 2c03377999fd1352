#pragma once

#include "core/isa.h"
#include "cpu/optim/parameters.h"

namespace pyllm {

struct AdamArgs : Parameters {
  Array exp_avg, exp_avg_sq;
  const Array* max_exp_avg_sq = nullptr;  // AMSGrad's
  double lr = 0, beta1 = 0, beta2 = 0, eps = 0, weight_decay = 0;
  int64_t step = 1;       // counted from 1
  bool decoupled = true;  // weight decay on the parameter (AdamW), not the gradient (Adam)
};

PYLLM_KERNEL(adam_step, (const AdamArgs& args));

}  // namespace pyllm
