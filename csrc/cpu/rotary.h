#pragma once

#include "core/array.h"
#include "core/isa.h"

namespace pyllm {

// Rotates pairs of features of x (batch, seq, heads, dim) by the angles of their positions.
struct RotaryArgs {
  Array x;
  Array y;    // shape and dtype of x; may be x
  Array cos;  // (length, half), any floating dtype
  Array sin;
  const int64_t* positions = nullptr;  // (batch, seq), in [0, length)
  bool interleaved = false;            // pairs (2i, 2i + 1); else (i, i + half)
  bool inverse = false;                // backward: by the opposite angles
};

PYLLM_KERNEL(rotary, (const RotaryArgs& args));

}  // namespace pyllm
