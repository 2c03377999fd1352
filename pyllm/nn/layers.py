"""Linear, Embedding, LayerNorm, RMSNorm, Dropout.

Linear starts uniform in +-1 / sqrt(in_features), Embedding standard normal, as in torch; within
`init.skip_init()` both start at zero. `pyllm.nn.init` has other schemes.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from pyllm.autograd import Tensor
from pyllm.nn import functional as F
from pyllm.nn import init
from pyllm.nn.module import Module, Parameter


class Linear(Module):
    """x weight^T + bias, weight (out_features, in_features)."""

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        self.weight = Parameter(np.zeros((out_features, in_features), np.float32))
        self.bias = Parameter(np.zeros(out_features, np.float32)) if bias else None
        if not init.is_skipped():
            bound = 1 / math.sqrt(max(in_features, 1))
            for parameter in self.parameters():
                init.uniform_(parameter, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)


class Embedding(Module):
    """Rows of weight (num_embeddings, dim) by number.

    Args:
        padding_idx: a row that starts at zero and gets no gradient.

    Raises:
        ValueError: padding_idx out of range.
    """

    def __init__(self, num_embeddings: int, dim: int, padding_idx: int | None = None) -> None:
        if padding_idx is not None and not 0 <= padding_idx < num_embeddings:
            raise ValueError(f"padding_idx: expected 0 to {num_embeddings - 1}, got {padding_idx}")
        self.weight = Parameter(np.zeros((num_embeddings, dim), np.float32))
        self.padding_idx = padding_idx
        if not init.is_skipped():
            init.normal_(self.weight)
            if padding_idx is not None:
                self.weight.data[padding_idx] = 0

    def forward(self, ids: npt.NDArray[np.integer]) -> Tensor:
        return F.embedding(ids, self.weight, padding_idx=self.padding_idx)


class LayerNorm(Module):
    """Normalised last axis, times weight, plus bias."""

    def __init__(self, dim: int, eps: float = 1e-5, bias: bool = True) -> None:
        self.weight = Parameter(np.ones(dim, np.float32))
        self.bias = Parameter(np.zeros(dim, np.float32)) if bias else None
        self.eps = eps

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Any:
        """The normalised x; with `residual` the pair (normalised sum, sum)."""
        return F.layer_norm(x, self.weight, self.bias, residual=residual, eps=self.eps)


class RMSNorm(Module):
    """Last axis over its root mean square, times weight."""

    def __init__(self, dim: int, eps: float = 1e-6) -> None:
        self.weight = Parameter(np.ones(dim, np.float32))
        self.eps = eps

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Any:
        """The normalised x; with `residual` the pair (normalised sum, sum)."""
        return F.rms_norm(x, self.weight, residual=residual, eps=self.eps)


class Dropout(Module):
    """Zeroes elements with probability p while training; nothing in evaluation.

    Raises:
        ValueError: p outside [0, 1).
    """

    def __init__(self, p: float) -> None:
        self.p = probability("p", p)

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.p if self.training else 0.0)


def probability(name: str, p: float) -> float:
    """p itself.

    Raises:
        ValueError: outside [0, 1).
    """
    if not 0 <= p < 1:
        raise ValueError(f"{name}: expected a probability in [0, 1), got {p}")
    return p
