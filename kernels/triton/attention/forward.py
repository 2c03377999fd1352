"""Attention forward (FlashAttention-2: Dao, 2023): softmax(scores) value, no score matrix stored.

A program takes M queries of one head and walks over the keys they may see in tiles of N:

    s = scores(q k^T);  m' = max(m, rowmax s);  p = exp(s - m');  a = exp(m - m')
    l = a l + rowsum p;  acc = a acc + p v;     at the end out = acc / l, lse = m + log l

q stays in registers; k and v are read once a tile of queries. Tiles that every query sees in full
come first and skip the masks; the edges (diagonal, window, ragged end) follow in a second loop. The
longest rows of a causal head start first. Products are float32 sums of storage-type inputs, p
rounded to storage for the second.
"""

import math

import triton
import triton.language as tl

from pyllm.kernels.triton.attention.scores import (
    LOG2E,
    dropout_offset,
    kept,
    load_rows,
    offset,
    scores,
    sequence,
    statistics_offset,
    without_hidden,
)
from pyllm.kernels.triton.attention.tiles import tiles
from pyllm.kernels.triton.storage import dot, narrow
from pyllm.kernels.triton.tuning import Tuned


@triton.jit
def visible(
    m, M, Tq, Tk, left, right, LEFT: tl.constexpr, RIGHT: tl.constexpr, ALL_MASKED: tl.constexpr,
    N: tl.constexpr,
):  # fmt: skip
    """[lo, hi): keys that the queries [m, m + M) see; [full_lo, full_hi): tiles all of them do."""
    first = m + (Tk - Tq)
    last = tl.minimum(m + M, Tq) - 1 + (Tk - Tq)
    lo, hi = m * 0, m * 0 + Tk
    if LEFT:
        lo = tl.maximum(first - left, 0) // N * N
    if RIGHT:
        hi = tl.maximum(tl.minimum(last + right + 1, Tk), lo)
    full_lo, full_hi = lo, hi // N * N
    if LEFT:
        full_lo = tl.maximum(lo, tl.cdiv(tl.maximum(last - left, 0), N) * N)
    if RIGHT:
        full_hi = tl.minimum(full_hi, tl.maximum(first + right + 1, 0) // N * N)
    if ALL_MASKED:
        full_hi = full_lo
    full_lo = tl.minimum(full_lo, tl.cdiv(hi, N) * N)
    return lo, hi, full_lo, tl.maximum(full_hi, full_lo)


@triton.jit(do_not_specialize=["seed", "stream", "threshold"])
def attention_forward_kernel(
    q, k, v, bias, key_mask, alibi, q_starts, k_starts, out, lse,
    q_batch, q_row, q_head, k_batch, k_row, k_head, v_batch, v_row, v_head,
    out_batch, out_row, out_head, lse_batch, lse_head, bias_batch, bias_head, bias_row, bias_column,
    mask_batch, mask_column, alibi_batch, alibi_head,
    Tq, Tk, heads, group, width, value_width, scale, softcap, left, right,
    keep_scale, threshold: tl.uint32, seed: tl.uint64, stream: tl.uint64, drop_rows, drop_columns,
    PACKED: tl.constexpr, LEFT: tl.constexpr, RIGHT: tl.constexpr, SOFTCAP: tl.constexpr,
    BIAS: tl.constexpr, KEY_MASK: tl.constexpr, ALIBI: tl.constexpr, DROPOUT: tl.constexpr,
    ALIGNED: tl.constexpr, D: tl.constexpr, DV: tl.constexpr, EVEN: tl.constexpr,
    BYTES: tl.constexpr, M: tl.constexpr, N: tl.constexpr,
):  # fmt: skip
    tiles = tl.cdiv(Tq, M)
    m = (tiles - 1 - tl.program_id(0) % tiles) * M
    b, h = tl.program_id(0) // tiles // heads, tl.program_id(0) // tiles % heads
    q_first, Tq = sequence(q_starts, b, Tq, drop_rows, PACKED)
    k_first, Tk = sequence(k_starts, b, Tk, drop_columns, PACKED)
    if m >= Tq:
        return
    q += offset(b, q_first, h, q_batch, q_row, q_head, PACKED)
    k += offset(b, k_first, h // group, k_batch, k_row, k_head, PACKED)
    v += offset(b, k_first, h // group, v_batch, v_row, v_head, PACKED)
    out += offset(b, q_first, h, out_batch, out_row, out_head, PACKED)
    lse += statistics_offset(b, h, q_first, lse_batch, lse_head, PACKED)
    slope = 0.0
    if BIAS:
        bias += b * tl.cast(bias_batch, tl.int64) + h * tl.cast(bias_head, tl.int64)
    if KEY_MASK:
        key_mask += b * tl.cast(mask_batch, tl.int64)
    if ALIBI:
        slope = tl.load(alibi + b * alibi_batch + h * alibi_head)
    drop_first = dropout_offset(b, h, heads, drop_rows, drop_columns, q_first, k_first, PACKED)

    d, dv = tl.arange(0, D), tl.arange(0, DV)
    i = (m + tl.arange(0, M))[:, None]
    query = load_rows(q, m, Tq, q_row, d, width, M, True, EVEN)
    acc = tl.zeros((M, DV), tl.float32)
    total = tl.zeros((M,), tl.float32)
    top = tl.full((M,), -float("inf"), tl.float32)
    lo, hi, full_lo, full_hi = visible(m, M, Tq, Tk, left, right, LEFT, RIGHT, KEY_MASK, N)
    before = (full_lo - lo) // N
    edges = before + tl.cdiv(tl.maximum(hi - full_hi, 0), N)
    for MASKED in tl.static_range(2):
        for t in range(edges if MASKED else (full_hi - full_lo) // N):
            if MASKED:
                n = tl.where(t < before, lo + t * N, full_hi + (t - before) * N)
            else:
                n = full_lo + t * N
            keys = load_rows(k, n, Tk, k_row, d, width, N, MASKED, EVEN)
            values = load_rows(v, n, Tk, v_row, dv, value_width, N, MASKED, EVEN)
            if KEY_MASK:
                keys = without_hidden(keys, key_mask, n, Tk, mask_column, N)
                values = without_hidden(values, key_mask, n, Tk, mask_column, N)
            j = (n + tl.arange(0, N))[None, :]
            s = scores(
                dot(query, tl.trans(keys), tl.zeros((M, N), tl.float32)), i, j, Tq, Tk, scale,
                softcap, left, right, bias, bias_row, bias_column, key_mask, mask_column, slope,
                MASKED, LEFT, RIGHT, SOFTCAP, BIAS, KEY_MASK, ALIBI,
            )[0]  # fmt: skip
            higher = tl.maximum(top, tl.max(s, 1))
            safe = tl.where(higher == -float("inf"), 0.0, higher)
            p = tl.exp2(s - safe[:, None])
            shrink = tl.exp2(top - safe)
            total = total * shrink + tl.sum(p, 1)
            top = higher
            if DROPOUT:
                keep = kept(seed, stream, threshold, drop_first, m, n, drop_columns, ALIGNED, M, N)
                p = tl.where(keep, p * keep_scale, 0.0)
            acc = dot(narrow(p, v.dtype.element_ty), values, acc * shrink[:, None])

    r = tl.arange(0, M)
    inside = m + r < Tq
    acc /= tl.where(total == 0, 1.0, total)[:, None]
    at = out + m * tl.cast(out_row, tl.int64) + r[:, None] * out_row + dv[None, :]
    written = inside[:, None] & (dv[None, :] < value_width)
    tl.store(at, narrow(acc, out.dtype.element_ty), mask=written)
    tl.store(lse + m + r, tl.where(total == 0, top, (top + tl.log2(total)) / LOG2E), mask=inside)


# M = 128 amortises the reading of k and v; narrower for wide heads, where the sums alone take M D
# registers. Two or three stages keep that many tiles of k and v on their way.
FORWARD = Tuned(
    attention_forward_kernel,
    *tiles(
        (64, 128, 64, 4, 3),
        (128, 128, 64, 8, 3),
        (128, 64, 64, 4, 3),
        (256, 64, 32, 8, 2),
        (512, 32, 32, 4, 2),
        (math.inf, 32, 32, 8, 1),
    ),
)
