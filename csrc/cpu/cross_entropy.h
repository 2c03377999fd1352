#pragma once

#include "core/array.h"
#include "core/isa.h"

namespace pyllm {

enum class Reduction { none, mean, sum };

// What both losses share. Targets have been checked: each is ignore_index or in [0, classes).
struct CrossEntropyOptions {
  const int64_t* targets = nullptr;     // one a row, contiguous
  const Array* class_weight = nullptr;  // (classes), dtype of the logits
  int64_t ignore_index = -100;
  double label_smoothing = 0.0;
  double z_loss = 0.0;
  Reduction reduction = Reduction::mean;
};

// logits (..., classes). loss and lse are in the compute dtype and contiguous: lse one a row, loss
// one a row (none) or a single element. Rows that are ignored have loss 0 and lse 0.
struct CrossEntropyArgs {
  Array logits, loss, lse;
  CrossEntropyOptions options;
};

// dlogits from the gradient of the loss: one value a row (none), else a single one.
struct CrossEntropyBackwardArgs {
  Array logits, lse, dlogits;
  const double* grad = nullptr;
  CrossEntropyOptions options;
};

PYLLM_KERNEL(cross_entropy_forward, (const CrossEntropyArgs& args));
PYLLM_KERNEL(cross_entropy_backward, (const CrossEntropyBackwardArgs& args));

}  // namespace pyllm
