#pragma once

#include "core/array.h"
#include "core/isa.h"

namespace pyllm {

// A whole state at once, x float32 (n,), codes uint8 (n,), scale float32 (blocks_of(n),).
PYLLM_KERNEL(quantize_blockwise,
             (const Array& x, bool is_signed, const Array& codes, const Array& scale));
PYLLM_KERNEL(dequantize_blockwise,
             (const Array& codes, const Array& scale, bool is_signed, const Array& x));

}  // namespace pyllm
