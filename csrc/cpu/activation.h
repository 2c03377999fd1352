#pragma once

#include "core/array.h"
#include "core/isa.h"
#include "cpu/activations.h"

namespace pyllm {

// y = act(x + bias); bias is broadcast to the shape of x by its strides.
struct ActivationArgs {
  Activation kind;
  Array x;
  Array y;
  const Array* bias = nullptr;
};

struct ActivationBackwardArgs {
  Activation kind;
  Array dy;
  Array x;
  Array dx;
  const Array* bias = nullptr;
  const Array* dbias = nullptr;  // out, (n,); with bias
};

// y = act(gate + gate_bias) * (up + up_bias).
struct GluArgs {
  Activation kind;
  Array gate;
  Array up;
  Array y;
  const Array* gate_bias = nullptr;
  const Array* up_bias = nullptr;
};

struct GluBackwardArgs {
  Activation kind;
  Array dy;
  Array gate;
  Array up;
  Array dgate;
  Array dup;
  const Array* gate_bias = nullptr;
  const Array* up_bias = nullptr;
  const Array* dgate_bias = nullptr;  // out, with gate_bias
  const Array* dup_bias = nullptr;    // out, with up_bias
};

PYLLM_KERNEL(activation_forward, (const ActivationArgs& args));
PYLLM_KERNEL(activation_backward, (const ActivationBackwardArgs& args));
PYLLM_KERNEL(glu_forward, (const GluArgs& args));
PYLLM_KERNEL(glu_backward, (const GluBackwardArgs& args));

}  // namespace pyllm
