"""Scaled dot-product attention with all options of `ops.attention`.

Saved: query, key, value, the result and one log-sum-exp a query; backward computes the weights
anew. `attention_packed` reads query, key and value in place out of one projection and writes their
gradients into one array; with rotary embedding it saves the rotated query and key.
"""

from typing import Any, NamedTuple

from pyllm import memory, ops, random
from pyllm.autograd import Array, Tensor, record
from pyllm.autograd.arrays import beside_or_given
from pyllm.ops.attention import Window


class Rotation(NamedTuple):
    """Arguments of `ops.rotary`."""

    cos: Array
    sin: Array
    positions: Array | None = None
    interleaved: bool = False


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    causal: bool = False,
    window: Window | None = None,
    scale: float | None = None,
    bias: Tensor | Array | None = None,
    key_padding_mask: Array | None = None,
    alibi_slopes: Array | None = None,
    softcap: float | None = None,
    dropout_p: float = 0.0,
    cu_seqlens_q: Array | None = None,
    cu_seqlens_k: Array | None = None,
) -> Tensor:
    """(batch, Tq, heads, value_dim), or (tokens, heads, value_dim) of a packed batch.

    See `ops.attention`. A bias that is a tensor gets its gradient; the dropout mask comes from
    `pyllm.random`.
    """
    q, k, v = query.data, key.data, value.data
    trained = bias if isinstance(bias, Tensor) else None
    options = _options(
        dropout_p,
        causal=causal,
        window=window,
        scale=scale,
        bias=beside_or_given(bias, q) if trained is None else trained.data,
        key_padding_mask=beside_or_given(key_padding_mask, q),
        alibi_slopes=beside_or_given(alibi_slopes, q),
        softcap=softcap,
        cu_seqlens_q=beside_or_given(cu_seqlens_q, q),
        cu_seqlens_k=beside_or_given(cu_seqlens_k, q),
    )
    need_dbias = trained is not None and trained.requires_grad
    y, lse = ops.attention(q, k, v, return_lse=True, **options)

    def backward(grad: Array) -> tuple[Array | None, ...]:
        gradients = ops.attention_backward(grad, q, k, v, y, lse, need_dbias=need_dbias, **options)
        return gradients if trained is not None else gradients[:3]

    return record(
        "attention",
        y,
        (query, key, value, trained),
        backward,
        saved=(query, key, value, trained),
        saved_results=(0,),
    )


def attention_packed(
    qkv: Tensor,
    num_heads: int,
    num_kv_heads: int | None = None,
    *,
    rotation: Rotation | None = None,
    causal: bool = True,
    window: Window | None = None,
    scale: float | None = None,
    bias: Tensor | Array | None = None,
    key_padding_mask: Array | None = None,
    alibi_slopes: Array | None = None,
    softcap: float | None = None,
    dropout_p: float = 0.0,
    cu_seqlens: Array | None = None,
) -> Tensor:
    """Self-attention on packed projections -> (batch, seq, num_heads * head_dim).

    Args:
        qkv: (batch, seq, (num_heads + 2 * num_kv_heads) * head_dim), or with cu_seqlens (tokens,
            ...): queries, then keys, then values.
        num_heads: of the queries.
        num_kv_heads: of keys and values; default num_heads.
        rotation: applied to query and key.
        causal ... cu_seqlens: as in `attention`.

    Raises:
        ValueError: the width does not fit the heads.
    """
    *lead, packed = qkv.shape
    kv_heads = num_heads if num_kv_heads is None else num_kv_heads
    heads = num_heads + 2 * kv_heads
    if packed % heads:
        raise ValueError(f"qkv: expected a width divisible by {heads} heads, got {packed}")
    shape = (*lead, heads, packed // heads)
    trained = bias if isinstance(bias, Tensor) else None
    need_dbias = trained is not None and trained.requires_grad
    query, key, value = _parts(qkv.data.reshape(shape), num_heads, kv_heads)
    if rotation is not None:
        query = ops.rotary(query, *rotation[:2], **_turn(rotation))
        key = ops.rotary(key, *rotation[:2], **_turn(rotation))
    options = _options(
        dropout_p,
        causal=causal,
        window=window,
        scale=scale,
        bias=beside_or_given(bias, query) if trained is None else trained.data,
        key_padding_mask=beside_or_given(key_padding_mask, query),
        alibi_slopes=beside_or_given(alibi_slopes, query),
        softcap=softcap,
        cu_seqlens_q=beside_or_given(cu_seqlens, query),
    )
    y, lse = ops.attention(query, key, value, return_lse=True, **options)
    width = num_heads * shape[-1]

    def backward(grad: Array) -> tuple[Array | None, ...]:
        made = memory.empty_like(grad, shape)
        dq, dk, dv = _parts(made, num_heads, kv_heads)
        outs: Any = {"dq_out": dq, "dk_out": dk, "dv_out": dv}
        arrived = grad.reshape(y.shape)
        *_, dbias = ops.attention_backward(
            arrived, query, key, value, y, lse, need_dbias=need_dbias, **outs, **options
        )
        if rotation is not None:
            for part in (dq, dk):
                ops.rotary_backward(part, *rotation[:2], **_turn(rotation), out=part)
        dqkv = made.reshape(*lead, packed)
        return (dqkv,) if trained is None else (dqkv, dbias)

    return record(
        "attention",
        y.reshape(*lead, width),
        (qkv, trained),
        backward,
        saved=(qkv, trained),
        saved_results=(0,),
    )


def _options(dropout_p: float, **options: Any) -> dict[str, Any]:
    """Options of `ops.attention`, with a place in the random stream if dropout needs one."""
    seed, stream = random.next_stream() if dropout_p else (0, 0)
    return {**options, "dropout_p": dropout_p, "seed": seed, "stream": stream}


def _parts(packed: Array, num_heads: int, kv_heads: int) -> tuple[Array, Array, Array]:
    """Query, key and value of (..., heads, head_dim)."""
    keys = num_heads + kv_heads
    return packed[..., :num_heads, :], packed[..., num_heads:keys, :], packed[..., keys:, :]


def _turn(rotation: Rotation) -> dict[str, Any]:
    return {"positions": rotation.positions, "interleaved": rotation.interleaved}
