"""Where a token stands, told to a model that does not see order by itself.

    learned:    x + weight[t]
    sinusoidal: x + (sin, cos)(t base^(-2i / dim))              (Vaswani et al. 2017)
    rotary:     pairs of features of query and key turned by the angle t base^(-2i / dim), so that
                their product depends on the distance alone      (Su et al., RoFormer, 2021)
    ALiBi:      scores minus slope * distance, a slope a head    (Press et al. 2022)

The first two are added to the embeddings, the others are given to MultiHeadAttention. Tables are
constants: no parameters, and not in the state dictionary.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from pyllm import cuda, ops
from pyllm.autograd import Array, Tensor
from pyllm.autograd.arrays import beside
from pyllm.nn import functional as F
from pyllm.nn import init
from pyllm.nn.functional.attention import Rotation
from pyllm.nn.module import Module, Parameter

Positions = npt.NDArray[np.integer]


class LearnedPositionalEmbedding(Module):
    """One trained vector a position: weight (max_length, dim)."""

    def __init__(self, max_length: int, dim: int) -> None:
        self.weight = Parameter(np.zeros((max_length, dim), np.float32))
        if not init.is_skipped():
            init.normal_(self.weight, std=0.02)

    def forward(self, x: Tensor, positions: Positions | None = None) -> Tensor:
        """x (batch, seq, dim) plus the vectors of its positions (seq,) or (batch, seq).

        Raises:
            ValueError: a position is not below max_length.
        """
        return x + F.embedding(_positions(x, positions), self.weight)


class SinusoidalPositionalEncoding(Module):
    """Fixed waves; sines are the even features, cosines the odd ones.

    Raises:
        ValueError: an odd dim, or base not positive.
    """

    def __init__(self, dim: int, *, base: float = 10000.0) -> None:
        self.dim, self.base = dim, base
        self._table = self._waves(0)

    def forward(self, x: Tensor, positions: Positions | None = None) -> Tensor:
        """x (batch, seq, dim) plus the waves at its positions (seq,) or (batch, seq)."""
        places = _positions(x, positions)
        length = _needed(places)
        if length > len(self._table):
            self._table = self._waves(_room(length))
        return x + beside(self._table[places].astype(x.dtype), x.data)

    def _waves(self, length: int) -> Array:
        cos, sin = ops.rotary_cache(length, self.dim, base=self.base)
        return np.stack([sin, cos], axis=-1).reshape(length, self.dim)


class RotaryEmbedding(Module):
    """Tables of angles, extended as positions need them.

    Args:
        dim: features to turn, even; those of a head that come after stay as they are.
        base: of the geometric sequence of wavelengths.
        interleaved: pairs are features (2i, 2i + 1) as in GPT-J, else (i, i + dim / 2) as in Llama.

    Raises:
        ValueError: an odd dim, or base not positive.
    """

    def __init__(self, dim: int, *, base: float = 10000.0, interleaved: bool = False) -> None:
        self.dim, self.base, self.interleaved = dim, base, interleaved
        self._tables = {"cpu": ops.rotary_cache(0, dim, base=base)}  # by device

    def rotation(
        self, length: int, positions: Positions | None = None, like: Array | None = None
    ) -> Rotation:
        """What the ops need for `length` positions from 0 on, or for those given.

        On the device of `like`, if that is on one; tables are copied there once.
        """
        needed = length if positions is None else _needed(positions)
        if needed > len(self._tables["cpu"][0]):
            self._tables = {"cpu": ops.rotary_cache(_room(needed), self.dim, base=self.base)}
        device = cuda.device_of(like)
        if device not in self._tables:
            cos, sin = self._tables["cpu"]
            self._tables[device] = beside(cos, like), beside(sin, like)
        return Rotation(*self._tables[device], beside(positions, like), self.interleaved)

    def forward(self, x: Tensor, positions: Positions | None = None) -> Tensor:
        """x (batch, seq, heads, head_dim) turned; positions (seq,) or (batch, seq)."""
        cos, sin, places, interleaved = self.rotation(x.shape[-3], positions, x.data)
        return F.rotary(x, cos, sin, positions=places, interleaved=interleaved)


class ALiBi(Module):
    """Slopes 2^(-8 h / heads) for h = 1 to heads.

    For a number of heads that is no power of two: those of the power below, then every other one of
    the power above.
    """

    def __init__(self, num_heads: int) -> None:
        if num_heads < 1:
            raise ValueError(f"num_heads: expected at least 1, got {num_heads}")
        below = 1 << int(math.log2(num_heads))
        slopes = [*_slopes(below), *_slopes(2 * below)[::2]][:num_heads]
        self.slopes = np.array(slopes, np.float32)

    def forward(self, query_length: int, key_length: int) -> Array:
        """The bias (heads, query_length, key_length) that attention adds without forming it."""
        last = np.arange(query_length)[:, None] + key_length - query_length
        distance = np.abs(last - np.arange(key_length))
        return -self.slopes[:, None, None] * distance.astype(np.float32)


def _slopes(heads: int) -> list[float]:
    return [2 ** (-8 * h / heads) for h in range(1, heads + 1)]


def _positions(x: Tensor, positions: Positions | None) -> Positions:
    return np.arange(x.shape[-2]) if positions is None else np.asarray(positions)


def _needed(positions: Positions) -> int:
    """The length of a table that has all positions.

    Raises:
        ValueError: one is negative.
    """
    least: Any = np.min(positions, initial=0)
    if least < 0:
        raise ValueError(f"positions: expected 0 or more, got {least}")
    return int(np.max(positions, initial=-1)) + 1


def _room(length: int) -> int:
    """A power of two, so that generation does not extend a table at every token."""
    return max(256, 1 << (length - 1).bit_length())
