"""Between storage types and float32, in which the kernels compute.

Triton's interpreter keeps bfloat16 as raw 16-bit integers: it truncates where the hardware rounds
to nearest even, and its `tl.dot` multiplies the integers. Under the interpreter, therefore, the
conversions are spelled out in bits and products take float32.
"""

import torch
import triton
import triton.language as tl

INTERPRETED = tl.constexpr(bool(triton.knobs.runtime.interpret))

TYPES = {torch.float32: tl.float32, torch.float16: tl.float16, torch.bfloat16: tl.bfloat16}


@triton.jit
def widen(x):
    """A stored value as float32."""
    if INTERPRETED and x.dtype == tl.bfloat16:
        wide = (x.to(tl.uint16, bitcast=True).to(tl.uint32) << 16).to(tl.float32, bitcast=True)
    else:
        wide = x.to(tl.float32)
    return wide


@triton.jit
def narrow(x, dtype: tl.constexpr):
    """A float32 rounded to a storage type, ties to even."""
    if INTERPRETED and dtype == tl.bfloat16:
        bits = x.to(tl.uint32, bitcast=True)
        rounded = (bits + (0x7FFF + ((bits >> 16) & 1))) >> 16
        stored = tl.where(x == x, rounded, 0x7FC0).to(tl.uint16).to(tl.bfloat16, bitcast=True)
    else:
        stored = x.to(dtype)
    return stored


@triton.jit
def dot(a, b, acc):
    """acc + a b in float32: float32 inputs in three TF32 passes, so that they stay float32."""
    if INTERPRETED:
        return tl.dot(widen(a), widen(b), acc)
    else:
        return tl.dot(a, b, acc, input_precision="tf32x3")
