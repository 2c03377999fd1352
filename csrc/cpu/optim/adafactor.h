#pragma once

#include "core/isa.h"
#include "cpu/optim/parameters.h"

namespace pyllm {

// One parameter: `batches` matrices of rows x cols, or (factored false) `cols` elements.
struct AdafactorArgs : Parameters {
  bool factored = false;
  int64_t batches = 1, rows = 1, cols = 0;
  Array row, col;  // factored: (batches, rows) and (batches, cols)
  Array square;    // otherwise: (cols)
  const Array* exp_avg = nullptr;
  double lr = 0, beta1 = 0, beta2 = 0, weight_decay = 0;
  double eps = 0, least_rms = 0, clip_threshold = 0;
  bool scale_parameter = true;
};

PYLLM_KERNEL(adafactor_step, (const AdafactorArgs& args));

}  // namespace pyllm
