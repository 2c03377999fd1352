"""What the attention kernels share: sequences, tiles, scores with their masks, dropout.

A tile of scores may lie either way round: queries i as (M, 1) and keys j as (1, N), or i as (1, M)
and j as (N, 1). Scores are in units of log 2, so that exp2, one instruction, takes them.
"""

import triton
import triton.language as tl

from pyllm.kernels.triton.philox import consecutive_words, words
from pyllm.kernels.triton.storage import widen

LOG2E = tl.constexpr(1.4426950408889634)


@triton.jit
def tanh(x):
    """tanh to a few roundings: near 0, where 1 - 2 / (exp(2 x) + 1) cancels, by a polynomial."""
    z = x * x
    p = (((-0.005666090678773448 * z + 0.020604985027091478) * z - 0.05372944726848808) * z
         + 0.13331320242001418) * z - 0.3333327736345723  # fmt: skip
    near = x + x * z * p
    return tl.where(tl.abs(x) < 0.63, near, 1 - 2 / (tl.exp(2 * x) + 1))


@triton.jit
def sequence(starts, b, length, rows, PACKED: tl.constexpr):
    """First row and length of a sequence; rows of a batch that is not packed count from 0 each.

    Offsets are clamped to the rows there are: where nobody checked them, wrong ones give wrong
    results and no stray access.
    """
    if PACKED:
        first = tl.minimum(tl.maximum(tl.load(starts + b), 0), rows)
        end = tl.minimum(tl.maximum(tl.load(starts + b + 1), first), rows)
        return first, tl.minimum(end - first, length)
    else:
        return 0, length


@triton.jit
def offset(b, first, h, batch_step, row_step, head_step, PACKED: tl.constexpr):
    """Of a head of a sequence, in elements."""
    at = h * tl.cast(head_step, tl.int64)
    if PACKED:
        at += first * tl.cast(row_step, tl.int64)
    else:
        at += b * tl.cast(batch_step, tl.int64)
    return at


@triton.jit
def statistics_offset(b, h, first, batch_step, head_step, PACKED: tl.constexpr):
    """Where lse and delta of a head's first query stand."""
    at = h * tl.cast(head_step, tl.int64)
    if PACKED:
        at += first
    else:
        at += b * tl.cast(batch_step, tl.int64)
    return at


@triton.jit
def dropout_offset(b, h, heads, rows, columns, q_first, k_first, PACKED: tl.constexpr):
    """Element of the random stream that belongs to a sequence's first query and key."""
    slab = tl.cast(h, tl.int64)
    if not PACKED:
        slab += tl.cast(b, tl.int64) * heads
    return (slab * rows + q_first) * columns + k_first


@triton.jit
def load_rows(
    base, start, length, step, d, width, BLOCK: tl.constexpr, MASKED: tl.constexpr,
    EVEN: tl.constexpr,
):  # fmt: skip
    """(BLOCK, D): the rows from `start` on; 0 past `length` and past `width` columns."""
    r = tl.arange(0, BLOCK)
    at = base + start * tl.cast(step, tl.int64) + r[:, None] * step + d[None, :]
    if MASKED:
        present = (start + r < length)[:, None]
        if not EVEN:
            present &= d[None, :] < width
        rows = tl.load(at, mask=present, other=0)
    elif EVEN:
        rows = tl.load(at)
    else:
        rows = tl.load(at, mask=d[None, :] < width, other=0)
    return rows


@triton.jit
def without_hidden(rows, key_mask, start, length, step, BLOCK: tl.constexpr):
    """Zeros for the keys that the padding mask hides: 0 times a NaN there would be NaN."""
    j = start + tl.arange(0, BLOCK)
    seen = tl.load(key_mask + j * tl.cast(step, tl.int64), mask=j < length, other=0)
    return tl.where((seen != 0)[:, None], rows, tl.zeros_like(rows))


@triton.jit
def scores(
    product, i, j, Tq, Tk, scale, softcap, left, right, bias, bias_row, bias_column, key_mask,
    mask_column, slope, MASKED: tl.constexpr, LEFT: tl.constexpr, RIGHT: tl.constexpr,
    SOFTCAP: tl.constexpr, BIAS: tl.constexpr, KEY_MASK: tl.constexpr, ALIBI: tl.constexpr,
):  # fmt: skip
    """The scores of query . key products, -inf where hidden, and tanh of the softcap (else 0)."""
    t = 0.0
    if SOFTCAP or BIAS or ALIBI:
        s = product * scale
        if SOFTCAP:
            t = tanh(s / softcap)
            s = softcap * t
        if BIAS:
            at = bias + i * tl.cast(bias_row, tl.int64) + j * tl.cast(bias_column, tl.int64)
            s += widen(tl.load(at, mask=(i < Tq) & (j < Tk), other=0))
        if ALIBI:
            s -= slope * tl.abs(i + (Tk - Tq) - j).to(tl.float32)
        s *= LOG2E
    else:
        s = product * (scale * LOG2E)
    if MASKED:
        p = i + (Tk - Tq)
        seen = (j < Tk) & (i < Tq)
        if LEFT:
            seen &= j >= p - left
        if RIGHT:
            seen &= j <= p + right
        if KEY_MASK:
            at = key_mask + j * tl.cast(mask_column, tl.int64)
            seen &= tl.load(at, mask=j < Tk, other=0) != 0
        s = tl.where(seen, s, -float("inf"))
    return s, t


@triton.jit
def kept(
    seed, stream, threshold, first, i, key, columns, ALIGNED: tl.constexpr, M: tl.constexpr,
    N: tl.constexpr,
):  # fmt: skip
    """(M, N): whether dropout keeps element first + i columns + key of the stream.

    Where rows are multiples of four elements, neighbours share one block of random words.
    """
    rows = first + (i + tl.arange(0, M)).to(tl.int64)[:, None] * columns + key
    if ALIGNED:
        word = consecutive_words(seed, stream, rows // 4 + tl.arange(0, N // 4)[None, :])
    else:
        word = words(seed, stream, rows + tl.arange(0, N)[None, :])
    return word >= threshold.to(tl.uint32)


@triton.jit
def row_statistics(lse, delta, m, Tq, M: tl.constexpr):
    """lse in units of log 2, +inf where a query sees no key so that its p is 0; delta."""
    i = m + tl.arange(0, M)
    value = tl.load(lse + i, mask=i < Tq, other=-float("inf"))
    value = tl.where(value == -float("inf"), float("inf"), value * LOG2E)
    return value, tl.load(delta + i, mask=i < Tq, other=0)
