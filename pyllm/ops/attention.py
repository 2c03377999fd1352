"""Scaled dot-product attention: fused, tiled, O(sequence length) memory, forward and backward."""

from pyllm.ops.backend import backend_of
from pyllm.ops.types import Array

Window = tuple[int | None, int | None]


def attention(
    query: Array,
    key: Array,
    value: Array,
    *,
    causal: bool = False,
    window: Window | None = None,
    scale: float | None = None,
    bias: Array | None = None,
    key_padding_mask: Array | None = None,
    alibi_slopes: Array | None = None,
    softcap: float | None = None,
    dropout_p: float = 0.0,
    seed: int = 0,
    stream: int = 0,
    cu_seqlens_q: Array | None = None,
    cu_seqlens_k: Array | None = None,
    out: Array | None = None,
    return_lse: bool = False,
) -> Array | tuple[Array, Array]:
    """softmax(scores) @ value, with score(i, j) =

        cap(query_i . key_j * scale) + bias(i, j) - alibi_slope * |p - j|,   p = i + Tk - Tq

    over the keys that query i sees; position p aligns the last query with the last key. A query
    that sees no key gives zeros. Never forms the (Tq, Tk) matrix (Dao et al., "FlashAttention",
    2022): extra memory is a few tiles a thread.

    Args:
        query: (batch, Tq, heads, head_dim); float32, bfloat16, float16 or float64. This, key and
            value are read through their strides; only head_dim should be contiguous (it is copied
            otherwise), so slices of a packed projection need no copy.
        key: (batch, Tk, kv_heads, head_dim); kv_heads divides heads (grouped-query attention:
            query head h reads key head h * kv_heads // heads; 1 is multi-query).
        value: (batch, Tk, kv_heads, value_dim).
        causal: query i sees keys j <= p.
        window: (left, right): query i sees keys p - left <= j <= p + right; None: unlimited.
        scale: default 1 / sqrt(head_dim).
        bias: added to the scores; broadcastable to (batch, heads, Tq, Tk); any float dtype; -inf
            hides a key.
        key_padding_mask: (batch, Tk) bool; False hides a key from all queries. What lies in a
            hidden key or value, NaN included, does not matter.
        alibi_slopes: (heads,) or (batch, heads) float32 (Press et al., "Train Short, Test Long",
            2022).
        softcap: cap(s) = softcap * tanh(s / softcap) (Gemma 2).
        dropout_p: probability of zeroing a weight after the softmax; the others grow by
            1 / (1 - p). The mask is Philox(seed, stream), element ((b * heads + h) * Tq + i) * Tk
            + j (a packed batch is b = 0 with i, j counted over all tokens): the same at any thread
            count.
        cu_seqlens_q, cu_seqlens_k: (sequences + 1,) int32 or int64 offsets of a packed batch; then
            query is (tokens, heads, head_dim), key and value likewise, attention stays within a
            sequence, and bias is broadcastable to (sequences, heads, longest Tq, longest Tk). The
            second defaults to the first.
        out: where to write the result.
        return_lse: also return the log-sum-exp of the scores, which backward needs.

    Returns:
        (batch, Tq, heads, value_dim) in query's dtype, or (tokens, heads, value_dim); with
        return_lse a pair with float32 (batch, heads, Tq) or (heads, tokens), float64 for float64;
        -inf for a query that sees no key.

    Raises:
        TypeError: an argument is no array, or its dtype is not supported.
        ValueError: shapes do not fit, an option is out of range, out overlaps an input.
    """
    return backend_of(query).attention(
        query,
        key,
        value,
        causal,
        window,
        scale,
        bias,
        key_padding_mask,
        alibi_slopes,
        softcap,
        dropout_p,
        seed,
        stream,
        cu_seqlens_q,
        cu_seqlens_k,
        out,
        return_lse,
    )


def attention_backward(
    grad: Array,
    query: Array,
    key: Array,
    value: Array,
    out: Array,
    lse: Array,
    *,
    causal: bool = False,
    window: Window | None = None,
    scale: float | None = None,
    bias: Array | None = None,
    key_padding_mask: Array | None = None,
    alibi_slopes: Array | None = None,
    softcap: float | None = None,
    dropout_p: float = 0.0,
    seed: int = 0,
    stream: int = 0,
    cu_seqlens_q: Array | None = None,
    cu_seqlens_k: Array | None = None,
    need_dbias: bool = False,
    dq_out: Array | None = None,
    dk_out: Array | None = None,
    dv_out: Array | None = None,
) -> tuple[Array, Array, Array, Array | None]:
    """Gradients of `attention` with respect to query, key, value and bias.

    The same bits at any thread count.

    Args:
        grad: gradient with respect to out; its shape and dtype.
        query, key, value: as in the forward.
        out, lse: what the forward returned with return_lse=True.
        causal ... cu_seqlens_k: as in the forward, seed and stream included.
        need_dbias: also compute the gradient of bias, in its own shape and dtype. Where the bias is
            shared by the batch or by heads, these then take turns.
        dq_out, dk_out, dv_out: where to write; may be interleaved slices of one packed buffer.

    Returns:
        (dq, dk, dv, dbias), dbias None unless asked for.

    Raises:
        TypeError, ValueError: as `attention`.
    """
    return backend_of(query).attention_backward(
        grad,
        query,
        key,
        value,
        out,
        lse,
        causal,
        window,
        scale,
        bias,
        key_padding_mask,
        alibi_slopes,
        softcap,
        dropout_p,
        seed,
        stream,
        cu_seqlens_q,
        cu_seqlens_k,
        need_dbias,
        dq_out,
        dk_out,
        dv_out,
    )


def attention_decode(
    query: Array,
    key_cache: Array,
    value_cache: Array,
    lengths: Array,
    *,
    block_table: Array | None = None,
    window: Window | None = None,
    scale: float | None = None,
    alibi_slopes: Array | None = None,
    softcap: float | None = None,
    out: Array | None = None,
) -> Array:
    """Causal attention of the newest queries of each sequence against its cache.

    Query i of sequence b stands at position lengths[b] - Tq + i; its own key and value are already
    in the cache. The work is split over positions, so one sequence keeps all threads busy.

    Args:
        query: (batch, Tq, heads, head_dim); Tq is 1, or a few; any float dtype.
        key_cache: (batch, capacity, kv_heads, head_dim) or, paged, (num_blocks, block_size,
            kv_heads, head_dim), in query's dtype; head_dim contiguous.
        value_cache: likewise, (..., value_dim).
        lengths: (batch,) int32 or int64: positions in use, the new ones included. What lies beyond
            is not read. A query at a position before the first sees nothing and gives zeros.
        block_table: (batch, blocks) int32 or int64: position j of sequence b is row
            j % block_size of block block_table[b, j // block_size]. Entries beyond the length
            are not read.
        window: (left, right): only the last left + 1 positions; right has no effect.
        scale, alibi_slopes, softcap: as `attention`.
        out: where to write the result.

    Returns:
        (batch, Tq, heads, value_dim), query's dtype.

    Raises:
        TypeError: an argument is no array, or its dtype is not supported.
        ValueError: shapes do not fit, a length or a block number is out of range.
    """
    return backend_of(query).attention_decode(
        query,
        key_cache,
        value_cache,
        lengths,
        block_table,
        window,
        scale,
        alibi_slopes,
        softcap,
        out,
    )
