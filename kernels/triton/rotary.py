"""Rotary position embedding (Su et al., 2021), half-split and interleaved.

    (a, b) -> (a cos - b sin, b cos + a sin) for each pair of features; backward turns the other way

A program takes one token: its cosines and sines are read once and serve all heads, `HEADS` at a
time. Interleaved pairs are read as whole rows and split in registers, so that every access is
contiguous. x is read through its strides; features past the pairs are copied.
"""

import torch
import triton
import triton.language as tl

from pyllm.kernels.triton import arguments
from pyllm.kernels.triton.storage import TYPES, narrow, widen
from pyllm.kernels.triton.tuning import Tuned, warps


@triton.jit
def _turn(a, b, cos, sin, dtype: tl.constexpr):
    return narrow(a * cos - b * sin, dtype), narrow(b * cos + a * sin, dtype)


@triton.jit
def rotary_kernel(
    x, cos, sin, positions, y, seq, heads, dim, half, length, direction,
    x_batch, x_seq, x_head, y_batch, y_seq, y_head, positions_batch, positions_seq,
    POSITIONS: tl.constexpr, INTERLEAVED: tl.constexpr, REST: tl.constexpr,
    HEADS: tl.constexpr, HALF: tl.constexpr,
):  # fmt: skip
    token = tl.program_id(0).to(tl.int64)
    b, t = token // seq, token % seq
    position = t
    if POSITIONS:
        position = tl.load(positions + b * positions_batch + t * positions_seq).to(tl.int64)
    # A position out of range, where nobody looked for one, gives NaN and no stray access.
    valid = (position >= 0) & (position < length)
    i = tl.arange(0, HALF)
    pair = i < half
    entry, known = position * half + i, i < tl.where(valid, half, 0)
    c = tl.where(known, widen(tl.load(cos + entry, mask=known, other=0)), float("nan"))[None, :]
    s = widen(tl.load(sin + entry, mask=known, other=0))[None, :] * direction
    for start in range(0, heads, HEADS):
        head = start + tl.arange(0, HEADS).to(tl.int64)
        present = head[:, None] < heads
        source = x + b * x_batch + t * x_seq + head[:, None] * x_head
        target = y + b * y_batch + t * y_seq + head[:, None] * y_head
        if INTERLEAVED:
            j = tl.arange(0, 2 * HALF)[None, :]
            inside = present & (j < 2 * half)
            both = widen(tl.load(source + j, mask=inside, other=0))
            first, second = tl.split(tl.reshape(both, (HEADS, HALF, 2)))
            first, second = _turn(first, second, c, s, y.dtype.element_ty)
            tl.store(target + j, tl.interleave(first, second), mask=inside)
        else:
            inside = present & pair[None, :]
            first = widen(tl.load(source + i[None, :], mask=inside, other=0))
            second = widen(tl.load(source + half + i[None, :], mask=inside, other=0))
            first, second = _turn(first, second, c, s, y.dtype.element_ty)
            tl.store(target + i[None, :], first, mask=inside)
            tl.store(target + half + i[None, :], second, mask=inside)
        for at in range(2 * half, dim, REST):
            k = at + tl.arange(0, REST)[None, :]
            more = present & (k < dim)
            tl.store(target + k, tl.load(source + k, mask=more), mask=more)


# Memory-bound with little work a token: few warps, more where there are many heads.
KERNEL = Tuned(rotary_kernel, warps(4, 2, 8), key=["HEADS", "HALF", "INTERLEAVED"], writes=["y"])


def _positions(positions, x, length):
    """(batch, seq) strides of the positions, once they are known to be in range."""
    batch, seq = x.shape[:2]
    if positions is None:
        if seq > length:
            raise ValueError(f"cos: has {length} positions, x needs {seq}")
        return None, (0, 0)
    arguments.integers(positions, "positions", x)
    shape = (batch, seq) if positions.ndim == 2 else (seq,)
    arguments.integers(positions, "positions", x, shape)
    arguments.in_range(positions, "positions", "position", length)
    return positions, positions.stride() if positions.ndim == 2 else (0, positions.stride(0))


def _apply(name, x, cos, sin, positions, interleaved, out, direction):
    arguments.floating(x, name)
    if x.ndim not in (3, 4):
        raise ValueError(f"{name}: expected (batch, seq, heads, dim) or (seq, heads, dim), got "
                         f"shape {tuple(x.shape)}")  # fmt: skip
    arguments.beside(cos, "cos", x, TYPES)
    if cos.ndim != 2:
        raise ValueError(f"cos: expected 2 axes, got shape {tuple(cos.shape)}")
    arguments.same(sin, "sin", cos, "cos")
    length, half = cos.shape
    if 2 * half > x.shape[-1]:
        raise ValueError(f"cos: has {half} pairs, {name} only {x.shape[-1]} features")
    batched = x if x.ndim == 4 else x[None]
    positions, position_strides = _positions(positions, batched, length)
    y = arguments.Output(out, x, {name: x}, {"cos": cos, "sin": sin})
    if x.numel():
        source = batched if batched.stride(3) == 1 else batched.contiguous()
        target = y.data if x.ndim == 4 else y.data[None]
        batch, seq, heads, dim = batched.shape
        pairs = triton.next_power_of_2(max(half, 1))
        with torch.cuda.device_of(x):
            KERNEL[(batch * seq,)](
                source, cos.contiguous(), sin.contiguous(), positions, target,
                seq, heads, dim, half, length, direction,
                *source.stride()[:3], *target.stride()[:3], *position_strides,
                POSITIONS=positions is not None, INTERLEAVED=interleaved, REST=64,
                HEADS=min(triton.next_power_of_2(heads), max(1024 // pairs, 1)), HALF=pairs,
            )  # fmt: skip
    return y.result()


def rotary(x, cos, sin, positions, interleaved, out):
    return _apply("x", x, cos, sin, positions, interleaved, out, 1.0)


def rotary_backward(grad, cos, sin, positions, interleaved, out):
    return _apply("grad", grad, cos, sin, positions, interleaved, out, -1.0)
