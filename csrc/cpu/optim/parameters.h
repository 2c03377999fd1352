// What every optimizer step is given beside its own states and settings.
#pragma once

#include "core/array.h"

namespace pyllm {

// Flat buffers of n elements, contiguous. States and `master` have the compute type: float64 where
// the parameters are, float32 otherwise; or states are quantised, all of a step alike.
struct Parameters {
  Array param;                    // float32, float64, bfloat16 or float16
  const Array* master = nullptr;  // float32 copy that a 16-bit param is rounded from
  Array grad;                     // dtype of param, or the compute type
  double grad_scale = 1;          // what the gradient is multiplied by: clipping, -1 to maximize
};

constexpr int64_t kStateBlock = 256;  // elements of a quantised state that share a scale
constexpr int64_t blocks_of(int64_t n) {
  return (n + kStateBlock - 1) / kStateBlock;
}

// A moment of n elements: the values, or a byte each (dtype u8, see blockwise.h) and their scales.
struct State : Array {
  Array scale;            // of the blocks, where quantised
  bool is_signed = true;  // false: never below 0

  bool is_quantized() const { return dtype == DType::u8; }
  bool is_absent() const { return data == nullptr && ndim == 0; }
};

}  // namespace pyllm
