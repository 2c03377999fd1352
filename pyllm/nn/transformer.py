"""TransformerBlock: attention and MLP, each within a residual connection.

    pre-norm:  x = x + attention(norm1(x));  x = x + mlp(norm2(x))      (GPT-2, Llama, T5)
    post-norm: x = norm1(x + attention(x));  x = norm2(x + mlp(x))      (BERT, the 2017 paper)

Every addition is taken along by the norm that comes next, in one pass. For that, `stream` hands the
residual stream of pre-norm blocks on as (x, delta), the sum still to be taken.
"""

from typing import Any, Literal, NamedTuple

from pyllm.autograd import Array, Tensor
from pyllm.nn import functional as F
from pyllm.nn.attention import MultiHeadAttention
from pyllm.nn.cache import KVCache
from pyllm.nn.layers import LayerNorm, RMSNorm, probability
from pyllm.nn.mlp import MLP
from pyllm.nn.module import Module

Stream = tuple[Tensor, Tensor]


class BlockCache(NamedTuple):
    """What a block remembers while generating."""

    attention: KVCache
    cross_attention: KVCache | None = None


class TransformerBlock(Module):
    """One layer of an encoder or (causal, perhaps with cross-attention) decoder.

    Args:
        hidden_size, num_heads: as in MultiHeadAttention.
        inner_size, activation: as in MLP.
        norm: "layer" or "rms".
        pre_norm: normalise before each part, or after its residual addition.
        eps: of the norms; default 1e-5, for "rms" 1e-6.
        bias: whether projections and layer norms have one.
        context_size: width of a context to attend to between attention and MLP.
        dropout: of what each part adds to the residual stream, in training.
        attention_dropout, activation_dropout: of the weights of attention, inside the MLP.
        attention: further arguments of MultiHeadAttention: num_kv_heads, head_dim, causal, window,
            scale, softcap, rotary, alibi.

    Raises:
        ValueError: an unknown norm or activation, or as MultiHeadAttention.
    """

    def __init__(
        self,
        hidden_size: int,
        num_heads: int,
        *,
        inner_size: int | None = None,
        activation: str = "gelu",
        norm: Literal["layer", "rms"] = "layer",
        pre_norm: bool = True,
        eps: float | None = None,
        bias: bool = True,
        context_size: int | None = None,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        activation_dropout: float = 0.0,
        **attention: Any,
    ) -> None:
        if norm not in ("layer", "rms"):
            raise ValueError(f"norm: expected layer or rms, got {norm!r}")

        def new_norm() -> Module:
            if norm == "rms":
                return RMSNorm(hidden_size, 1e-6 if eps is None else eps)
            return LayerNorm(hidden_size, 1e-5 if eps is None else eps, bias)

        self.pre_norm, self.dropout = pre_norm, probability("dropout", dropout)
        self.norm1 = new_norm()
        self.attention = MultiHeadAttention(
            hidden_size, num_heads, bias=bias, dropout=attention_dropout, **attention
        )
        self.cross_attention: MultiHeadAttention | None = None
        if context_size is not None:
            self.norm_cross = new_norm()
            shared = {
                k: v for k, v in attention.items() if k in ("num_kv_heads", "head_dim", "scale")
            }
            self.cross_attention = MultiHeadAttention(
                hidden_size,
                num_heads,
                context_size=context_size,
                bias=bias,
                dropout=attention_dropout,
                **shared,
            )
        self.norm2 = new_norm()
        self.mlp = MLP(
            hidden_size, inner_size, activation=activation, bias=bias, dropout=activation_dropout
        )

    def new_cache(self, batch: int, capacity: int, context_length: int = 0) -> BlockCache:
        """Empty caches, for `capacity` tokens and a context of `context_length`."""
        cross = self.cross_attention
        return BlockCache(
            self.attention.new_cache(batch, capacity),
            None if cross is None else cross.new_cache(batch, context_length),
        )

    def forward(
        self,
        x: Tensor,
        context: Tensor | None = None,
        *,
        key_padding_mask: Array | None = None,
        context_padding_mask: Array | None = None,
        bias: Tensor | Array | None = None,
        positions: Array | None = None,
        cu_seqlens: Array | None = None,
        cu_seqlens_context: Array | None = None,
        cache: BlockCache | None = None,
    ) -> Tensor:
        """(batch, seq, hidden_size), as x.

        Args:
            context_padding_mask: (batch, context_seq) bool; False hides a token of the context.
            x ... cache: as in MultiHeadAttention.

        Raises:
            ValueError, RuntimeError: as MultiHeadAttention.
        """
        own, other = self._arguments(
            context,
            key_padding_mask=key_padding_mask,
            context_padding_mask=context_padding_mask,
            bias=bias,
            positions=positions,
            cu_seqlens=cu_seqlens,
            cu_seqlens_context=cu_seqlens_context,
            cache=cache,
        )
        if self.pre_norm:
            x, delta = self._pre_norm(x, None, own, other)
            return x + delta
        x = self.norm1(self._drop(self.attention(x, **own)), residual=x)[0]
        if self.cross_attention is not None:
            seen = self._drop(self.cross_attention(x, **other))
            x = self.norm_cross(seen, residual=x)[0]
        return self.norm2(self._drop(self.mlp(x)), residual=x)[0]

    def stream(
        self, x: Tensor, delta: Tensor | None, context: Tensor | None = None, **options: Any
    ) -> Stream:
        """A pre-norm block on the residual stream x + delta, which it gives back likewise.

        Args:
            delta: None for 0.
            context, options: as in `forward`.

        Raises:
            ValueError: a post-norm block has no such stream; or as `forward`.
        """
        if not self.pre_norm:
            raise ValueError("stream: a post-norm block normalises its residual stream")
        return self._pre_norm(x, delta, *self._arguments(context, **options))

    def _arguments(
        self,
        context: Tensor | None,
        *,
        key_padding_mask: Array | None = None,
        context_padding_mask: Array | None = None,
        bias: Tensor | Array | None = None,
        positions: Array | None = None,
        cu_seqlens: Array | None = None,
        cu_seqlens_context: Array | None = None,
        cache: BlockCache | None = None,
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """What attention and cross-attention are called with."""
        if self.cross_attention is None and context is not None:
            raise ValueError("context: the block has no cross-attention; give it context_size")
        own = {
            "key_padding_mask": key_padding_mask,
            "bias": bias,
            "positions": positions,
            "cu_seqlens": cu_seqlens,
            "cache": None if cache is None else cache.attention,
        }
        other = {
            "context": context,
            "key_padding_mask": context_padding_mask,
            "cu_seqlens": cu_seqlens,
            "cu_seqlens_context": cu_seqlens_context,
            "cache": None if cache is None else cache.cross_attention,
        }
        return own, other

    def _pre_norm(
        self, x: Tensor, delta: Tensor | None, own: dict[str, Any], other: dict[str, Any]
    ) -> Stream:
        if delta is None:
            normed = self.norm1(x)
        else:
            normed, x = self.norm1(delta, residual=x)
        delta = self._drop(self.attention(normed, **own))
        if self.cross_attention is not None:
            normed, x = self.norm_cross(delta, residual=x)
            delta = self._drop(self.cross_attention(normed, **other))
        normed, x = self.norm2(delta, residual=x)
        return x, self._drop(self.mlp(normed))

    def _drop(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout if self.training else 0.0)
