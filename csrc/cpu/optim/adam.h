#pragma once

#include "core/isa.h"
#include "cpu/optim/parameters.h"

namespace pyllm {

struct AdamArgs : Parameters {
  State exp_avg, exp_avg_sq;
  State max_exp_avg_sq;  // AMSGrad's, or absent
  double lr = 0, beta1 = 0, beta2 = 0, eps = 0, weight_decay = 0;
  int64_t step = 1;       // counted from 1
  bool decoupled = true;  // weight decay on the parameter (AdamW), not the gradient (Adam)

  template <class F>
  void each_state(F&& f) {
    f(exp_avg), f(exp_avg_sq);
    if (!max_exp_avg_sq.is_absent()) f(max_exp_avg_sq);
  }
};

PYLLM_KERNEL(adam_step, (const AdamArgs& args));

}  // namespace pyllm
