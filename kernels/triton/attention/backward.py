"""Attention backward: kernels that rebuild p = exp(s - lse) tile by tile, no atomics.

    delta_i = sum_d do_id out_id
    dv = P^T do,  dp = do v^T (times the dropout mask),  ds = p (dp - delta)
    dc = ds (1 - tanh^2) of the softcap,  dq = scale dc k,  dk = scale dc^T q,  dbias = ds

`dkdv` takes N keys of a key head and walks over the queries of all heads of its group, `dq` takes M
queries and walks over keys, `dbias` takes a tile of the bias and walks over the batch entries and
heads that share it. Each sum has one owner and one order: the same bits every run. In `dkdv` the
tiles lie keys by queries, so that p and dc are left operands as they come.
"""

import math

import triton
import triton.language as tl

from pyllm.kernels.triton.attention.forward import visible
from pyllm.kernels.triton.attention.scores import (
    dropout_offset,
    kept,
    load_rows,
    offset,
    row_statistics,
    scores,
    sequence,
    statistics_offset,
    without_hidden,
)
from pyllm.kernels.triton.attention.tiles import tiles
from pyllm.kernels.triton.storage import dot, narrow, widen
from pyllm.kernels.triton.tuning import Tuned


@triton.jit
def attention_delta_kernel(
    grad, out, delta, q_starts, grad_batch, grad_row, grad_head, out_batch, out_row, out_head,
    lse_batch, lse_head, Tq, heads, value_width, drop_rows,
    PACKED: tl.constexpr, DV: tl.constexpr, M: tl.constexpr,
):  # fmt: skip
    tiles = tl.cdiv(Tq, M)
    m = tl.program_id(0) % tiles * M
    b, h = tl.program_id(0) // tiles // heads, tl.program_id(0) // tiles % heads
    first, length = sequence(q_starts, b, Tq, drop_rows, PACKED)
    grad += offset(b, first, h, grad_batch, grad_row, grad_head, PACKED)
    out += offset(b, first, h, out_batch, out_row, out_head, PACKED)
    d = tl.arange(0, DV)
    g = widen(load_rows(grad, m, length, grad_row, d, value_width, M, True, False))
    o = widen(load_rows(out, m, length, out_row, d, value_width, M, True, False))
    i = m + tl.arange(0, M)
    delta += statistics_offset(b, h, first, lse_batch, lse_head, PACKED)
    tl.store(delta + i, tl.sum(g * o, 1), mask=i < length)


@triton.jit(do_not_specialize=["seed", "stream", "threshold"])
def attention_dkdv_kernel(
    q, k, v, bias, key_mask, alibi, q_starts, k_starts, grad, lse, delta, dk, dv_out,
    q_batch, q_row, q_head, k_batch, k_row, k_head, v_batch, v_row, v_head,
    grad_batch, grad_row, grad_head, dk_batch, dk_row, dk_head, dv_batch, dv_row, dv_head,
    lse_batch, lse_head, bias_batch, bias_head, bias_row, bias_column, mask_batch, mask_column,
    alibi_batch, alibi_head, Tq, Tk, heads, group, width, value_width, scale, softcap, left,
    right, keep_scale, threshold: tl.uint32, seed: tl.uint64, stream: tl.uint64, drop_rows,
    drop_columns,
    PACKED: tl.constexpr, LEFT: tl.constexpr, RIGHT: tl.constexpr, SOFTCAP: tl.constexpr,
    BIAS: tl.constexpr, KEY_MASK: tl.constexpr, ALIBI: tl.constexpr, DROPOUT: tl.constexpr,
    ALIGNED: tl.constexpr, D: tl.constexpr, DV: tl.constexpr, EVEN: tl.constexpr,
    BYTES: tl.constexpr, M: tl.constexpr, N: tl.constexpr,
):  # fmt: skip
    tiles = tl.cdiv(Tk, N)
    n = tl.program_id(0) % tiles * N
    kv_heads = heads // group
    b, kv_head = tl.program_id(0) // tiles // kv_heads, tl.program_id(0) // tiles % kv_heads
    q_first, Tq = sequence(q_starts, b, Tq, drop_rows, PACKED)
    k_first, Tk = sequence(k_starts, b, Tk, drop_columns, PACKED)
    if n >= Tk:
        return
    k += offset(b, k_first, kv_head, k_batch, k_row, k_head, PACKED)
    v += offset(b, k_first, kv_head, v_batch, v_row, v_head, PACKED)
    if KEY_MASK:
        key_mask += b * tl.cast(mask_batch, tl.int64)
    d, dv = tl.arange(0, D), tl.arange(0, DV)
    keys = load_rows(k, n, Tk, k_row, d, width, N, True, EVEN)
    values = load_rows(v, n, Tk, v_row, dv, value_width, N, True, EVEN)
    if KEY_MASK:
        keys = without_hidden(keys, key_mask, n, Tk, mask_column, N)
        values = without_hidden(values, key_mask, n, Tk, mask_column, N)
    j = (n + tl.arange(0, N))[:, None]
    key_sum, value_sum = tl.zeros((N, D), tl.float32), tl.zeros((N, DV), tl.float32)
    lo, hi = n * 0, n * 0 + Tq  # the queries that may see one of the keys
    if RIGHT:
        lo = tl.maximum(n - right - (Tk - Tq), 0) // M * M
    if LEFT:
        hi = tl.maximum(tl.minimum(tl.minimum(n + N, Tk) + left - (Tk - Tq), Tq), 0)
    steps = tl.cdiv(tl.maximum(hi - lo, 0), M)
    for t in range(group * steps):
        h = kv_head * group + t // steps
        m = lo + t % steps * M
        i = (m + tl.arange(0, M))[None, :]
        row = statistics_offset(b, h, q_first, lse_batch, lse_head, PACKED)
        query = load_rows(
            q + offset(b, q_first, h, q_batch, q_row, q_head, PACKED),
            m,
            Tq,
            q_row,
            d,
            width,
            M,
            True,
            EVEN,
        )
        grad_at = grad + offset(b, q_first, h, grad_batch, grad_row, grad_head, PACKED)
        do = load_rows(grad_at, m, Tq, grad_row, dv, value_width, M, True, EVEN)
        lse_i, delta_i = row_statistics(lse + row, delta + row, m, Tq, M)
        this_bias, slope = bias, 0.0
        if BIAS:
            this_bias += b * tl.cast(bias_batch, tl.int64) + h * tl.cast(bias_head, tl.int64)
        if ALIBI:
            slope = tl.load(alibi + b * alibi_batch + h * alibi_head)
        s, tanh = scores(
            dot(keys, tl.trans(query), tl.zeros((N, M), tl.float32)), i, j, Tq, Tk, scale, softcap,
            left, right, this_bias, bias_row, bias_column, key_mask, mask_column, slope,
            True, LEFT, RIGHT, SOFTCAP, BIAS, KEY_MASK, ALIBI,
        )  # fmt: skip
        p = tl.exp2(s - lse_i[None, :])
        dp = dot(values, tl.trans(do), tl.zeros((N, M), tl.float32))
        dropped = p
        if DROPOUT:
            first = dropout_offset(b, h, heads, drop_rows, drop_columns, q_first, k_first, PACKED)
            keep = tl.trans(kept(seed, stream, threshold, first, m, n, drop_columns, ALIGNED, M, N))
            dropped = tl.where(keep, p * keep_scale, 0.0)
            dp = tl.where(keep, dp * keep_scale, 0.0)
        value_sum = dot(narrow(dropped, grad.dtype.element_ty), do, value_sum)
        dc = p * (dp - delta_i[None, :])
        if SOFTCAP:
            dc *= 1 - tanh * tanh
        key_sum = dot(narrow(dc, q.dtype.element_ty), query, key_sum)
    r = tl.arange(0, N)
    inside = (n + r < Tk)[:, None]
    at = dk + offset(b, k_first, kv_head, dk_batch, dk_row, dk_head, PACKED)
    at += n * tl.cast(dk_row, tl.int64)
    at += r[:, None] * dk_row + d[None, :]
    tl.store(at, narrow(key_sum * scale, dk.dtype.element_ty), mask=inside & (d[None, :] < width))
    at = dv_out + offset(b, k_first, kv_head, dv_batch, dv_row, dv_head, PACKED)
    at += n * tl.cast(dv_row, tl.int64)
    at += r[:, None] * dv_row + dv[None, :]
    tl.store(
        at, narrow(value_sum, dv_out.dtype.element_ty), mask=inside & (dv[None, :] < value_width)
    )


@triton.jit(do_not_specialize=["seed", "stream", "threshold"])
def attention_dq_kernel(
    q, k, v, bias, key_mask, alibi, q_starts, k_starts, grad, lse, delta, dq,
    q_batch, q_row, q_head, k_batch, k_row, k_head, v_batch, v_row, v_head,
    grad_batch, grad_row, grad_head, dq_batch, dq_row, dq_head,
    lse_batch, lse_head, bias_batch, bias_head, bias_row, bias_column, mask_batch, mask_column,
    alibi_batch, alibi_head, Tq, Tk, heads, group, width, value_width, scale, softcap, left,
    right, keep_scale, threshold: tl.uint32, seed: tl.uint64, stream: tl.uint64, drop_rows,
    drop_columns,
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
    k += offset(b, k_first, h // group, k_batch, k_row, k_head, PACKED)
    v += offset(b, k_first, h // group, v_batch, v_row, v_head, PACKED)
    row = statistics_offset(b, h, q_first, lse_batch, lse_head, PACKED)
    slope = 0.0
    if BIAS:
        bias += b * tl.cast(bias_batch, tl.int64) + h * tl.cast(bias_head, tl.int64)
    if KEY_MASK:
        key_mask += b * tl.cast(mask_batch, tl.int64)
    if ALIBI:
        slope = tl.load(alibi + b * alibi_batch + h * alibi_head)
    drop_first = dropout_offset(b, h, heads, drop_rows, drop_columns, q_first, k_first, PACKED)
    d, dv = tl.arange(0, D), tl.arange(0, DV)
    query = load_rows(
        q + offset(b, q_first, h, q_batch, q_row, q_head, PACKED),
        m,
        Tq,
        q_row,
        d,
        width,
        M,
        True,
        EVEN,
    )
    grad_at = grad + offset(b, q_first, h, grad_batch, grad_row, grad_head, PACKED)
    do = load_rows(grad_at, m, Tq, grad_row, dv, value_width, M, True, EVEN)
    lse_i, delta_i = row_statistics(lse + row, delta + row, m, Tq, M)
    i = (m + tl.arange(0, M))[:, None]
    total = tl.zeros((M, D), tl.float32)
    lo, hi, _, _ = visible(m, M, Tq, Tk, left, right, LEFT, RIGHT, True, N)
    for n in range(lo, hi, N):
        keys = load_rows(k, n, Tk, k_row, d, width, N, True, EVEN)
        values = load_rows(v, n, Tk, v_row, dv, value_width, N, True, EVEN)
        if KEY_MASK:
            keys = without_hidden(keys, key_mask, n, Tk, mask_column, N)
            values = without_hidden(values, key_mask, n, Tk, mask_column, N)
        j = (n + tl.arange(0, N))[None, :]
        s, tanh = scores(
            dot(query, tl.trans(keys), tl.zeros((M, N), tl.float32)), i, j, Tq, Tk, scale, softcap,
            left, right, bias, bias_row, bias_column, key_mask, mask_column, slope,
            True, LEFT, RIGHT, SOFTCAP, BIAS, KEY_MASK, ALIBI,
        )  # fmt: skip
        p = tl.exp2(s - lse_i[:, None])
        dp = dot(do, tl.trans(values), tl.zeros((M, N), tl.float32))
        if DROPOUT:
            keep = kept(seed, stream, threshold, drop_first, m, n, drop_columns, ALIGNED, M, N)
            dp = tl.where(keep, dp * keep_scale, 0.0)
        dc = p * (dp - delta_i[:, None])
        if SOFTCAP:
            dc *= 1 - tanh * tanh
        total = dot(narrow(dc, k.dtype.element_ty), keys, total)
    r = tl.arange(0, M)
    at = dq + offset(b, q_first, h, dq_batch, dq_row, dq_head, PACKED)
    at += m * tl.cast(dq_row, tl.int64)
    at += r[:, None] * dq_row + d[None, :]
    inside = (m + r < Tq)[:, None] & (d[None, :] < width)
    tl.store(at, narrow(total * scale, dq.dtype.element_ty), mask=inside)


DELTA = Tuned(attention_delta_kernel, [triton.Config({"M": 64}, num_warps=4)], key=["DV"])
# dkdv keeps N (D + DV) float32 sums, dq M D: the kept side is the wide one of its tile.
DKDV = Tuned(
    attention_dkdv_kernel,
    *tiles(
        (64, 32, 128, 8, 2),
        (128, 32, 64, 4, 2),
        (128, 64, 64, 8, 2),
        (256, 32, 32, 8, 2),
        (512, 32, 32, 8, 1),
        (math.inf, 16, 32, 8, 1),
    ),
)
DQ = Tuned(
    attention_dq_kernel,
    *tiles(
        (64, 128, 32, 8, 2),
        (128, 64, 64, 8, 2),
        (256, 32, 32, 8, 2),
        (512, 32, 32, 8, 1),
        (math.inf, 32, 16, 8, 1),
    ),
)
