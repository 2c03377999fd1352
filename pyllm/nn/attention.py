"""MultiHeadAttention: the projections around `functional.attention`.

Self-attention has one product for query, key and value (`qkv`), read in place by the kernel.
Cross-attention has `query`, and `key_value` of the context. With fewer key and value heads than
query heads (grouped queries), several query heads share one.

Generation gives a KVCache: the tokens of a call join it and attend to all it holds. For
cross-attention it keeps the projected context, which is then not needed again.
"""

from typing import Any

import numpy as np

from pyllm import ops
from pyllm.autograd import Array, Tensor, is_recording, split
from pyllm.autograd.arrays import beside
from pyllm.nn import functional as F
from pyllm.nn.cache import KVCache
from pyllm.nn.layers import Linear, probability
from pyllm.nn.module import Module
from pyllm.nn.positions import ALiBi, RotaryEmbedding
from pyllm.ops.attention import Window


class MultiHeadAttention(Module):
    """Attention of x to itself, or to a context.

    Args:
        hidden_size: of x and of the result.
        num_heads: of the queries.
        num_kv_heads: of keys and values; divides num_heads; default num_heads.
        head_dim: default hidden_size / num_heads.
        context_size: width of the context; makes it cross-attention.
        causal: a token sees none after itself.
        window: (left, right): how many tokens before and after itself it sees.
        scale: of the scores; default 1 / sqrt(head_dim).
        softcap: limits scores to +-softcap, smoothly.
        dropout: of the weights, in training.
        bias: whether the projections have one.
        rotary: turns query and key.
        alibi: subtract a slope times the distance from the scores.

    Raises:
        ValueError: heads that do not divide each other or hidden_size, dropout outside [0, 1), or
            causal, rotary or alibi in cross-attention, whose tokens have no common positions.
    """

    def __init__(
        self,
        hidden_size: int,
        num_heads: int,
        *,
        num_kv_heads: int | None = None,
        head_dim: int | None = None,
        context_size: int | None = None,
        causal: bool = False,
        window: Window | None = None,
        scale: float | None = None,
        softcap: float | None = None,
        dropout: float = 0.0,
        bias: bool = True,
        rotary: RotaryEmbedding | None = None,
        alibi: bool = False,
    ) -> None:
        kv_heads = num_heads if num_kv_heads is None else num_kv_heads
        if head_dim is None and hidden_size % num_heads:
            raise ValueError(f"hidden_size: {hidden_size} is not divisible by {num_heads} heads")
        if kv_heads < 1 or num_heads % kv_heads:
            raise ValueError(f"num_kv_heads: expected a divisor of {num_heads}, got {kv_heads}")
        if context_size is not None and (causal or window or rotary or alibi):
            raise ValueError("context_size: cross-attention has no causal, window, rotary or alibi")
        self.num_heads, self.num_kv_heads = num_heads, kv_heads
        self.head_dim = hidden_size // num_heads if head_dim is None else head_dim
        self.causal, self.window, self.scale, self.softcap = causal, window, scale, softcap
        self.dropout = probability("dropout", dropout)
        self.is_cross = context_size is not None
        self.rotary = rotary
        self.slopes = ALiBi(num_heads).slopes if alibi else None
        width, kv_width = num_heads * self.head_dim, 2 * kv_heads * self.head_dim
        if context_size is None:
            self.qkv = Linear(hidden_size, width + kv_width, bias)
        else:
            self.query = Linear(hidden_size, width, bias)
            self.key_value = Linear(context_size, kv_width, bias)
        self.out = Linear(width, hidden_size, bias)

    def new_cache(self, batch: int, capacity: int) -> KVCache:
        """An empty cache of the layer's shape and dtype, where its weights are."""
        weight = self.out.weight
        shape = (batch, capacity, self.num_kv_heads, self.head_dim)
        return KVCache(*shape, weight.dtype, weight.data)

    def forward(
        self,
        x: Tensor,
        context: Tensor | None = None,
        *,
        key_padding_mask: Array | None = None,
        bias: Tensor | Array | None = None,
        positions: Array | None = None,
        cu_seqlens: Array | None = None,
        cu_seqlens_context: Array | None = None,
        cache: KVCache | None = None,
    ) -> Tensor:
        """(batch, seq, hidden_size), as x.

        Args:
            x: (batch, seq, hidden_size), or with cu_seqlens (tokens, hidden_size).
            context: (batch, context_seq, context_size), or (context_tokens, context_size); for
                cross-attention, unless the cache has it.
            key_padding_mask: (batch, seq of the keys) bool; False hides a token.
            bias: added to the scores, broadcastable to (batch, heads, seq, seq of the keys).
            positions: (seq,) or (batch, seq), for rotary; default 0, 1, ... in each sequence.
            cu_seqlens, cu_seqlens_context: offsets of packed sequences, see `ops.attention`.
            cache: keys and values of the tokens before, which those of x join.

        Raises:
            ValueError: a shape does not fit, or an argument that this layer has no use for.
            RuntimeError: a cache outside `no_grad`.
        """
        if cache is not None and is_recording():
            raise RuntimeError("cache: generation has no gradient; call within no_grad()")
        options: dict[str, Any] = {
            "scale": self.scale,
            "softcap": self.softcap,
            "bias": bias,
            "key_padding_mask": key_padding_mask,
            "dropout_p": self.dropout if self.training else 0.0,
        }
        if self.is_cross:
            if positions is not None:
                raise ValueError("positions: cross-attention has none")
            packed = {"cu_seqlens_q": cu_seqlens, "cu_seqlens_k": cu_seqlens_context}
            return self.out(self._cross(x, context, cache, {**options, **packed}))
        if context is not None or cu_seqlens_context is not None:
            raise ValueError("context: this is self-attention; give context_size to the layer")
        if cache is not None:
            if any(a is not None for a in (key_padding_mask, bias, cu_seqlens)):
                raise ValueError("cache: takes no key_padding_mask, bias or cu_seqlens")
            return self.out(self._cached(self.qkv(x), positions, cache))
        if positions is None and cu_seqlens is not None:
            positions = _within(cu_seqlens)
        y = F.attention_packed(
            self.qkv(x),
            self.num_heads,
            self.num_kv_heads,
            rotation=(
                None
                if self.rotary is None
                else self.rotary.rotation(x.shape[-2], positions, x.data)
            ),
            causal=self.causal,
            window=self.window,
            alibi_slopes=self.slopes,
            cu_seqlens=cu_seqlens,
            **options,
        )
        return self.out(y)

    def _cross(
        self, x: Tensor, context: Tensor | None, cache: KVCache | None, options: dict[str, Any]
    ) -> Tensor:
        query = self.query(x).reshape(*x.shape[:-1], self.num_heads, self.head_dim)
        if cache is not None and not cache.is_empty:
            key, value = map(Tensor, cache.held())
        elif context is None:
            raise ValueError("context: cross-attention needs one, or a cache that has seen it")
        else:
            heads = (*context.shape[:-1], 2 * self.num_kv_heads, self.head_dim)
            key, value = split(self.key_value(context).reshape(heads), self.num_kv_heads, axis=-2)
            if cache is not None:
                cache.append(key.data, value.data)
        return F.attention(query, key, value, **options).reshape(*x.shape[:-1], -1)

    def _cached(self, qkv: Tensor, positions: Any, cache: KVCache) -> Tensor:
        """Self-attention of new tokens (batch, seq, width) that join the cache."""
        if not self.causal:
            raise ValueError("cache: tokens that see later ones cannot be generated one by one")
        batch, new, _ = qkv.shape
        heads = qkv.data.reshape(batch, new, -1, self.head_dim)
        keys, values = self.num_heads, self.num_heads + self.num_kv_heads
        query, key, value = heads[:, :, :keys], heads[:, :, keys:values], heads[:, :, values:]
        if self.rotary is not None:
            if positions is None:
                positions = cache.lengths[:, None] + np.arange(new)
            cos, sin, places, interleaved = self.rotary.rotation(new, positions, qkv.data)
            turn: dict[str, Any] = {"positions": places, "interleaved": interleaved}
            query, key = ops.rotary(query, cos, sin, **turn), ops.rotary(key, cos, sin, **turn)
        options: dict[str, Any] = {
            "window": self.window,
            "scale": self.scale,
            "softcap": self.softcap,
            "alibi_slopes": beside(self.slopes, query),
        }
        starts = cache.is_empty
        cache.append(key, value)
        y: Any
        if starts:
            y = ops.attention(query, key, value, causal=True, **options)
        else:
            y = ops.attention_decode(
                query,
                cache.keys,
                cache.values,
                beside(cache.lengths, query),
                block_table=beside(cache.block_table, query),
                **options,
            )
        return Tensor(y.reshape(batch, new, -1))


def _within(cu_seqlens: Array) -> Array:
    """The place of each token of a packed batch in its own sequence."""
    lengths = np.diff(cu_seqlens)
    return np.arange(int(lengths.sum())) - np.repeat(np.asarray(cu_seqlens)[:-1], lengths)
