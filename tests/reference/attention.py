"""Attention in float64, by its formulae, the whole score matrix formed."""

import numpy as np

from tests.reference import philox


def scores(query, key, *, causal=False, window=None, scale=None, bias=None, key_padding_mask=None,
           alibi_slopes=None, softcap=None):  # fmt: skip
    """(batch, heads, Tq, Tk), and the derivative of the cap at each."""
    query, key = np.asarray(query, np.float64), np.asarray(key, np.float64)
    batch, tq, heads, dim = query.shape
    tk, kv_heads = key.shape[1:3]
    key = np.repeat(key, heads // kv_heads, axis=2)
    s = np.einsum("bihd,bjhd->bhij", query, key) * (dim**-0.5 if scale is None else scale)
    slope = np.ones_like(s)
    if softcap is not None:
        t = np.tanh(s / softcap)
        s, slope = softcap * t, 1 - t**2
    if bias is not None:
        s = s + np.asarray(bias, np.float64)
    position = np.arange(tq)[:, None] + tk - tq
    j = np.arange(tk)
    if alibi_slopes is not None:
        slopes = np.broadcast_to(np.asarray(alibi_slopes, np.float64), (batch, heads))
        s = s - slopes[:, :, None, None] * abs(position - j)
    seen = np.ones((tq, tk), bool)
    left, right = window or (None, None)
    if left is not None:
        seen &= j >= position - left
    if causal:
        right = 0
    if right is not None:
        seen &= j <= position + right
    s = np.where(seen, s, -np.inf)
    if key_padding_mask is not None:
        s = np.where(np.asarray(key_padding_mask)[:, None, None, :], s, -np.inf)
    return s, slope


def softmax_lse(s):
    top = s.max(axis=-1, keepdims=True, initial=-np.inf)
    e = np.exp(s - np.where(np.isneginf(top), 0, top))
    total = e.sum(axis=-1, keepdims=True)
    with np.errstate(divide="ignore"):
        return e / np.where(total == 0, 1, total), (top + np.log(total))[..., 0]


def keep(shape, dropout_p, seed, stream):
    if dropout_p == 0:
        return np.ones(shape)
    words = philox.words(seed, stream, int(np.prod(shape))).reshape(shape)
    return np.where(words < int(dropout_p * 2.0**32), 0, 1 / (1 - dropout_p))


def attention(query, key, value, *, dropout_p=0.0, seed=0, stream=0, **options):
    """(out, lse)"""
    s, _ = scores(query, key, **options)
    p, lse = softmax_lse(s)
    p = p * keep(p.shape, dropout_p, seed, stream)
    value = np.repeat(np.asarray(value, np.float64), s.shape[1] // value.shape[2], axis=2)
    return np.einsum("bhij,bjhd->bihd", p, value), lse


def attention_backward(grad, query, key, value, *, dropout_p=0.0, seed=0, stream=0, bias=None,
                       **options):  # fmt: skip
    """(dq, dk, dv, dbias or None)"""
    grad = np.asarray(grad, np.float64)
    dim, kv_heads = query.shape[3], key.shape[2]
    batch, _, heads, _ = query.shape
    group = heads // kv_heads
    s, slope = scores(query, key, bias=bias, **options)
    p, _ = softmax_lse(s)
    mask = keep(p.shape, dropout_p, seed, stream)
    wide_value = np.repeat(np.asarray(value, np.float64), group, axis=2)
    dv = np.einsum("bhij,bihd->bjhd", p * mask, grad)
    dp = np.einsum("bihd,bjhd->bhij", grad, wide_value) * mask
    ds = p * (dp - (p * dp).sum(axis=-1, keepdims=True))
    dbias = None if bias is None else unbroadcast(ds, np.shape(bias))
    scale = options.get("scale")
    dc = ds * slope * (dim**-0.5 if scale is None else scale)
    wide_key = np.repeat(np.asarray(key, np.float64), group, axis=2)
    dq = np.einsum("bhij,bjhd->bihd", dc, wide_key)
    dk = np.einsum("bhij,bihd->bjhd", dc, np.asarray(query, np.float64))

    def by_group(x):
        return x.reshape(batch, x.shape[1], kv_heads, group, x.shape[3]).sum(axis=3)

    return dq, by_group(dk), by_group(dv), dbias


def unbroadcast(x, shape):
    """Sum x over the axes along which an array of this shape was repeated."""
    x = x.sum(axis=tuple(range(x.ndim - len(shape))))
    repeated = tuple(i for i, n in enumerate(shape) if n == 1)
    return x.sum(axis=repeated, keepdims=True) if repeated else x


def score_terms(query, key, options):
    """One plus the largest sum of absolute terms of a row's scores, (batch, heads, Tq, 1).

    A probability's relative error is the absolute one of its score, which is a rounding error of
    the score's terms.
    """
    scale = options.get("scale") or query.shape[3] ** -0.5
    plain = {"scale": abs(scale)}
    if options.get("bias") is not None:
        bias = abs(np.asarray(options["bias"], np.float64))
        plain["bias"] = np.where(np.isfinite(bias), bias, 0)
    if options.get("alibi_slopes") is not None:
        plain["alibi_slopes"] = -options["alibi_slopes"]
    terms, _ = scores(abs(query), abs(key), **plain)
    return 1 + terms.max(axis=-1, keepdims=True, initial=0)


def scales(query, key, value, grad, dropout_p=0.0, seed=0, stream=0, **options):
    """What each result's terms sum to in absolute value: the scale of its rounding error."""
    s, _ = scores(query, key, **options)
    p, lse = softmax_lse(s)
    mask = keep(p.shape, dropout_p, seed, stream)
    q, k, v, g = (abs(np.asarray(x, np.float64)) for x in (query, key, value, grad))
    terms = score_terms(q, k, options)
    batch, _, heads, dim = q.shape
    kv_heads = k.shape[2]
    k, v = (np.repeat(x, heads // kv_heads, axis=2) for x in (k, v))
    p = p * terms
    dp = np.einsum("bihd,bjhd->bhij", g, v) * mask
    ds = p * (dp + (p * dp).sum(axis=-1, keepdims=True))
    dc = ds * abs(options.get("scale") or dim**-0.5)

    def by_group(x):
        return x.reshape(batch, x.shape[1], kv_heads, heads // kv_heads, x.shape[3]).sum(axis=3)

    bias = options.get("bias")
    return {
        "out": np.einsum("bhij,bjhd->bihd", p * mask, v),
        "lse": terms[..., 0] + np.where(np.isfinite(lse), abs(lse), 0),
        "dq": np.einsum("bhij,bjhd->bihd", dc, k),
        "dk": by_group(np.einsum("bhij,bihd->bjhd", dc, q)),
        "dv": by_group(np.einsum("bhij,bihd->bjhd", p * mask, g)),
        "dbias": None if bias is None else unbroadcast(ds, np.shape(bias)),
    }
