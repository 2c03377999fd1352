"""Arguments of attention, checked, as the keyword arguments of its kernels."""

import math
from itertools import pairwise
from operator import index

import torch
import triton

from pyllm.kernels.triton import arguments
from pyllm.kernels.triton.philox import drop_threshold
from pyllm.kernels.triton.storage import TYPES

_FAR = 2**30  # a window without an edge on that side
WIDEST = 256


def rows_contiguous(x):
    return x if x.shape[-1] <= 1 or x.stride(-1) == 1 else x.contiguous()


def strides(x, name):
    """Steps of (batch, row, head) of (batch, seq, heads, dim) or (tokens, heads, dim)."""
    batch = 0 if x.ndim == 3 else x.stride(0)
    return {f"{name}_batch": batch, f"{name}_row": x.stride(-3), f"{name}_head": x.stride(-2)}


def _edge(side):
    if side is None:
        return None
    try:
        side = index(side)
    except TypeError:
        raise TypeError("window: expected (left, right), each a whole number or None") from None
    if side >= 2**63:
        raise ValueError("window: a side is out of range")
    if side < -1:
        raise ValueError(f"window: expected sides of at least 0 (or None), got {side}")
    return None if side == -1 else min(side, _FAR)


def _number(x, name):
    try:
        return float(x)
    except (TypeError, ValueError):
        raise TypeError(f"{name}: expected a number or None, got {type(x).__name__}") from None


def _offsets(starts, name, like, tokens):
    """The offsets on the device as int32, and the lengths between them."""
    arguments.integers(starts, name, like)
    if starts.ndim != 1:
        raise ValueError(f"{name}: expected 1 axes, got shape {tuple(starts.shape)}")
    values = starts.tolist()
    lengths = [b - a for a, b in pairwise(values)]
    if not values or values[0] != 0 or values[-1] != tokens or min(lengths, default=0) < 0:
        raise ValueError(
            f"{name}: expected offsets that rise from 0 to the number of tokens, {tokens}, got "
            f"{values[:8]}{'...' if len(values) > 8 else ''}"
        )
    return starts.to(torch.int32).contiguous(), lengths


class Problem:
    """Query, key, value and the options of one call.

    Attributes:
        arguments: what every kernel takes, by name.
        batch, longest_q, longest_k: of the sequences.
    """

    def __init__(
        self, query, key, value, causal, window, scale, bias, key_padding_mask, alibi_slopes,
        softcap, dropout_p, seed, stream, cu_seqlens_q, cu_seqlens_k,
    ):  # fmt: skip
        self.packed = cu_seqlens_q is not None
        if not self.packed and cu_seqlens_k is not None:
            raise ValueError("cu_seqlens_k: expected None without cu_seqlens_q")
        self._check_heads(query, key, value)
        self.query, self.key, self.value = map(rows_contiguous, (query, key, value))
        self.heads, self.kv_heads = query.shape[-2], key.shape[-2]
        self.width, self.value_width = query.shape[-1], value.shape[-1]
        starts = self._sequences(cu_seqlens_q, cu_seqlens_k)
        widest = (self.width, self.value_width)
        if max(widest) > WIDEST:
            raise ValueError(
                f"query: the Triton back end takes head_dim up to {WIDEST}, got {max(widest)}"
            )
        d, dv = (max(triton.next_power_of_2(w), 16) for w in widest)
        self.arguments = {
            "q": self.query, "k": self.key, "v": self.value,
            "q_starts": starts[0], "k_starts": starts[1],
            **strides(self.query, "q"), **strides(self.key, "k"), **strides(self.value, "v"),
            "Tq": self.longest_q, "Tk": self.longest_k, "heads": self.heads,
            "group": self.heads // self.kv_heads, "width": self.width,
            "value_width": self.value_width, "PACKED": self.packed,
            "BYTES": query.element_size(), "D": d, "DV": dv, "EVEN": (d, dv) == widest,
            **self._window(causal, window), **self._scores(scale, softcap, bias, alibi_slopes),
            **self._padding(key_padding_mask), **self._dropout(dropout_p, seed, stream),
        }  # fmt: skip

    def _check_heads(self, query, key, value):
        arguments.floating(query, "query")
        axes = 3 if self.packed else 4
        for name, x in (("query", query), ("key", key), ("value", value)):
            arguments.tensor(x, name)
            if x.ndim != axes:
                raise ValueError(f"{name}: expected {axes} axes, got shape {tuple(x.shape)}")
            if x.dtype != query.dtype:
                raise TypeError(f"{name}: expected the dtype of query, "
                                f"{arguments.name_of(query.dtype)}, got "
                                f"{arguments.name_of(x.dtype)}")  # fmt: skip
            arguments.beside(x, name, query)

        def expect(holds, name, x, expected):
            if not holds:
                raise ValueError(
                    f"{name}: expected {expected}, got shape {tuple(x.shape)} with query of shape "
                    f"{tuple(query.shape)}"
                )

        expect(query.shape[-1] >= 1, "query", query, "a head_dim of at least 1")
        expect(self.packed or key.shape[0] == query.shape[0], "key", key, "the batch size of query")
        expect(key.shape[-1] == query.shape[-1], "key", key, "the head_dim of query")
        expect(key.shape[-2] >= 1 and query.shape[-2] % key.shape[-2] == 0, "key", key,
               "a number of heads that divides that of query")  # fmt: skip
        expect(value.shape[:-1] == key.shape[:-1], "value", value,
               f"the shape of key {tuple(key.shape)} but for head_dim")  # fmt: skip
        expect(value.shape[-1] >= 1, "value", value, "a head_dim of at least 1")

    def _sequences(self, cu_seqlens_q, cu_seqlens_k):
        """Offsets of the sequences on the device; None for a batch of one length."""
        if not self.packed:
            self.batch, self.longest_q = self.query.shape[:2]
            self.longest_k = self.key.shape[1]
            return None, None
        q_starts, q_lengths = _offsets(
            cu_seqlens_q, "cu_seqlens_q", self.query, self.query.shape[0]
        )
        k_starts, k_lengths = _offsets(
            cu_seqlens_q if cu_seqlens_k is None else cu_seqlens_k, "cu_seqlens_k", self.query,
            self.key.shape[0],
        )  # fmt: skip
        if len(q_lengths) != len(k_lengths):
            raise ValueError(f"cu_seqlens_k: expected as many offsets as cu_seqlens_q, "
                             f"{len(q_lengths) + 1}, got {len(k_lengths) + 1}")  # fmt: skip
        self.batch = len(q_lengths)
        self.longest_q, self.longest_k = max(q_lengths, default=0), max(k_lengths, default=0)
        return q_starts, k_starts

    def _window(self, causal, window):
        try:
            left, right = (None, None) if window is None else window
        except TypeError:
            raise TypeError("window: expected (left, right) or None") from None
        except ValueError:
            raise ValueError(f"window: expected two sides, got {len(window)}") from None
        left, right = _edge(left), _edge(right)
        right = 0 if causal else right
        return {
            "LEFT": left is not None, "RIGHT": right is not None,
            "left": left or 0, "right": right or 0,
        }  # fmt: skip

    def _scores(self, scale, softcap, bias, alibi_slopes):
        scale = 1 / math.sqrt(self.width) if scale is None else _number(scale, "scale")
        if not math.isfinite(scale):
            raise ValueError(f"scale: expected a finite number, got {scale}")
        if softcap is not None and not (
            _number(softcap, "softcap") > 0 and math.isfinite(float(softcap))
        ):
            raise ValueError(f"softcap: expected a positive finite number, got {softcap}")
        shape = (self.batch, self.heads, self.longest_q, self.longest_k)
        self.bias = bias
        if bias is not None:
            arguments.beside(bias, "bias", self.query, (*TYPES, torch.float64))
            bias = bias.float() if bias.dtype == torch.float64 else bias
            bias = arguments.broadcast(bias, "bias", shape)
        if alibi_slopes is not None:
            arguments.beside(alibi_slopes, "alibi_slopes", self.query, (torch.float32,))
            alibi_slopes = arguments.broadcast(alibi_slopes, "alibi_slopes", shape[:2])
        steps = (0,) * 4 if bias is None else bias.stride()
        alibi_steps = (0, 0) if alibi_slopes is None else alibi_slopes.stride()
        return {
            "scale": scale, "softcap": 0.0 if softcap is None else float(softcap),
            "SOFTCAP": softcap is not None, "bias": bias, "BIAS": bias is not None,
            "bias_batch": steps[0], "bias_head": steps[1], "bias_row": steps[2],
            "bias_column": steps[3], "alibi": alibi_slopes, "ALIBI": alibi_slopes is not None,
            "alibi_batch": alibi_steps[0], "alibi_head": alibi_steps[1],
        }  # fmt: skip

    def _padding(self, mask):
        if mask is not None:
            if self.packed:
                raise ValueError("key_padding_mask: expected None with a packed batch")
            arguments.beside(
                mask, "key_padding_mask", self.query, (torch.bool,), (self.batch, self.longest_k)
            )
        steps = (0, 0) if mask is None else mask.stride()
        return {
            "key_mask": mask, "KEY_MASK": mask is not None,
            "mask_batch": steps[0], "mask_column": steps[1],
        }  # fmt: skip

    def _dropout(self, p, seed, stream):
        if not 0 <= p < 1:
            raise ValueError(f"dropout_p: expected 0 <= p < 1, got {p}")
        columns = self.key.shape[-3]
        return {
            "keep_scale": 1 / (1 - p), "threshold": drop_threshold(p),
            "seed": arguments.word(seed, "seed"), "stream": arguments.word(stream, "stream"),
            "drop_rows": self.query.shape[-3], "drop_columns": columns,
            "DROPOUT": p > 0, "ALIGNED": not self.packed and columns % 4 == 0,
        }  # fmt: skip

    @property
    def out_shape(self):
        return (*self.query.shape[:-1], self.value_width)

    @property
    def lse_shape(self):
        if self.packed:
            return (self.heads, self.query.shape[0])
        return (self.batch, self.heads, self.longest_q)

    def lse_steps(self, lse):
        return {
            "lse_batch": 0 if self.packed else lse.stride(0),
            "lse_head": lse.stride(0 if self.packed else 1),
        }

    def destination(self, out, name, like, shape, others):
        """`out`, checked, or a fresh tensor; it may lie in a wider buffer, rows contiguous."""
        if out is None:
            return torch.empty(shape, dtype=like.dtype, device=like.device)
        arguments.beside(out, name, like, shape=shape)
        if rows_contiguous(out) is not out:
            raise ValueError(f"{name}: expected a contiguous last axis")
        if any(n > 1 and s == 0 for n, s in zip(out.shape, out.stride(), strict=True)):
            raise ValueError(f"{name}: elements overlap each other (stride 0); pass a tensor of "
                             "its own")  # fmt: skip
        arguments.apart(out, name, others)
        return out
