"""The gradient of attention's bias: dbias = ds (backward.py), summed over what shares the bias.

A program takes a tile of the bias and walks over the batch entries and heads that share it, so each
sum has one owner and one order. Where rows or columns share it, the tile's sum over them is written
and torch adds the tiles up.
"""

import math

import torch
import triton
import triton.language as tl

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
from pyllm.kernels.triton.storage import dot
from pyllm.kernels.triton.tuning import Tuned


@triton.jit(do_not_specialize=["seed", "stream", "threshold"])
def attention_dbias_kernel(
    q, k, v, bias, key_mask, alibi, q_starts, k_starts, grad, lse, delta, dbias,
    q_batch, q_row, q_head, k_batch, k_row, k_head, v_batch, v_row, v_head,
    grad_batch, grad_row, grad_head, dbias_batch, dbias_head, dbias_row, dbias_column,
    lse_batch, lse_head, bias_batch, bias_head, bias_row, bias_column, mask_batch, mask_column,
    alibi_batch, alibi_head, Tq, Tk, batch, heads, group, width, value_width,
    own_heads, scale, softcap, left, right, keep_scale, threshold: tl.uint32,
    seed: tl.uint64, stream: tl.uint64, drop_rows, drop_columns,
    PACKED: tl.constexpr, LEFT: tl.constexpr, RIGHT: tl.constexpr, SOFTCAP: tl.constexpr,
    BIAS: tl.constexpr, KEY_MASK: tl.constexpr, ALIBI: tl.constexpr, DROPOUT: tl.constexpr,
    ALIGNED: tl.constexpr, BATCH_SHARED: tl.constexpr, ROWS_SHARED: tl.constexpr,
    COLUMNS_SHARED: tl.constexpr, D: tl.constexpr, DV: tl.constexpr, EVEN: tl.constexpr,
    BYTES: tl.constexpr, M: tl.constexpr, N: tl.constexpr,
):  # fmt: skip
    """A tile of dbias; where rows or columns share a bias, the tile's sum over them."""
    across = tl.cdiv(Tk, N)
    tiles = tl.cdiv(Tq, M) * across
    tile = tl.program_id(0) % tiles
    down, n = tile // across, tile % across * N
    m = down * M
    own = tl.program_id(0) // tiles
    own_b, own_h = own // own_heads, own % own_heads
    shared_h = heads // own_heads
    d, dv = tl.arange(0, D), tl.arange(0, DV)
    total = tl.zeros((M, N), tl.float32)
    for shared in range((batch if BATCH_SHARED else 1) * shared_h):
        b = shared // shared_h if BATCH_SHARED else own_b
        h = own_h + shared % shared_h
        q_first, rows_q = sequence(q_starts, b, Tq, drop_rows, PACKED)
        k_first, rows_k = sequence(k_starts, b, Tk, drop_columns, PACKED)
        query = load_rows(
            q + offset(b, q_first, h, q_batch, q_row, q_head, PACKED),
            m,
            rows_q,
            q_row,
            d,
            width,
            M,
            True,
            EVEN,
        )
        grad_at = grad + offset(b, q_first, h, grad_batch, grad_row, grad_head, PACKED)
        do = load_rows(grad_at, m, rows_q, grad_row, dv, value_width, M, True, EVEN)
        k_at = k + offset(b, k_first, h // group, k_batch, k_row, k_head, PACKED)
        keys = load_rows(k_at, n, rows_k, k_row, d, width, N, True, EVEN)
        v_at = v + offset(b, k_first, h // group, v_batch, v_row, v_head, PACKED)
        values = load_rows(v_at, n, rows_k, v_row, dv, value_width, N, True, EVEN)
        this_mask, slope = key_mask, 0.0
        if KEY_MASK:
            this_mask += b * tl.cast(mask_batch, tl.int64)
            keys = without_hidden(keys, this_mask, n, rows_k, mask_column, N)
            values = without_hidden(values, this_mask, n, rows_k, mask_column, N)
        if ALIBI:
            slope = tl.load(alibi + b * alibi_batch + h * alibi_head)
        row = statistics_offset(b, h, q_first, lse_batch, lse_head, PACKED)
        lse_i, delta_i = row_statistics(lse + row, delta + row, m, rows_q, M)
        i, j = (m + tl.arange(0, M))[:, None], (n + tl.arange(0, N))[None, :]
        this_bias = bias + b * tl.cast(bias_batch, tl.int64) + h * tl.cast(bias_head, tl.int64)
        s = scores(
            dot(query, tl.trans(keys), tl.zeros((M, N), tl.float32)), i, j, rows_q, rows_k, scale,
            softcap, left, right, this_bias, bias_row, bias_column, this_mask, mask_column, slope,
            True, LEFT, RIGHT, SOFTCAP, BIAS, KEY_MASK, ALIBI,
        )[0]  # fmt: skip
        p = tl.exp2(s - lse_i[:, None])
        dp = dot(do, tl.trans(values), tl.zeros((M, N), tl.float32))
        if DROPOUT:
            first = dropout_offset(b, h, heads, drop_rows, drop_columns, q_first, k_first, PACKED)
            keep = kept(seed, stream, threshold, first, m, n, drop_columns, ALIGNED, M, N)
            dp = tl.where(keep, dp * keep_scale, 0.0)
        total += p * (dp - delta_i[:, None])
    at = dbias + own_b * tl.cast(dbias_batch, tl.int64) + own_h * tl.cast(dbias_head, tl.int64)
    i, j = m + tl.arange(0, M), n + tl.arange(0, N)
    if ROWS_SHARED and COLUMNS_SHARED:
        at += down * tl.cast(dbias_row, tl.int64) + tile % across * dbias_column
        tl.store(at, tl.sum(tl.sum(total, 1), 0))
    elif ROWS_SHARED:
        at += down * tl.cast(dbias_row, tl.int64) + j * dbias_column
        tl.store(at, tl.sum(total, 0), mask=j < Tk)
    elif COLUMNS_SHARED:
        at += i * tl.cast(dbias_row, tl.int64) + tile % across * dbias_column
        tl.store(at, tl.sum(total, 1), mask=i < Tq)
    else:
        at += i[:, None] * tl.cast(dbias_row, tl.int64) + j[None, :] * dbias_column
        tl.store(at, total, mask=(i < Tq)[:, None] & (j < Tk)[None, :])


DBIAS = Tuned(
    attention_dbias_kernel,
    *tiles(
        (256, 32, 64, 4, 1),
        (512, 32, 32, 8, 1),
        (math.inf, 16, 32, 8, 1),
    ),
)


def bias_gradient(problem, common):
    """The gradient of the bias in its own shape: partial sums of tiles, then torch's sum."""
    bias = problem.bias
    own = (1,) * (4 - bias.ndim) + tuple(bias.shape)
    tile = DBIAS.first(**common).kwargs
    rows = triton.cdiv(problem.longest_q, tile["M"])
    columns = triton.cdiv(problem.longest_k, tile["N"])
    full = (problem.batch, problem.heads, problem.longest_q, problem.longest_k)
    shared = [n == 1 and whole > 1 for n, whole in zip(own, full, strict=True)]
    shape = (
        *own[:2],
        rows if shared[2] else problem.longest_q,
        columns if shared[3] else problem.longest_k,
    )
    partial = torch.empty(shape, dtype=torch.float32, device=bias.device)
    if partial.numel():
        steps = dict(
            zip(
                ("dbias_batch", "dbias_head", "dbias_row", "dbias_column"),
                partial.stride(),
                strict=True,
            )
        )
        DBIAS.untimed((own[0] * own[1] * rows * columns,))(
            dbias=partial, **steps, batch=problem.batch, own_heads=own[1], BATCH_SHARED=shared[0],
            ROWS_SHARED=shared[2], COLUMNS_SHARED=shared[3], **common,
        )  # fmt: skip
    for axis in (2, 3):
        if shared[axis]:
            partial = partial.sum(axis, keepdim=True)
    return partial.reshape(bias.shape).to(bias.dtype)
