"""Linear, Embedding, LayerNorm, RMSNorm, Dropout.

Weights start at zero (norms at one): what is right for them depends on the model, which knows its
depth and sets them.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from pyllm.autograd import Tensor
from pyllm.nn import functional as F
from pyllm.nn.module import Module, Parameter


class Linear(Module):
    """x weight^T + bias, weight (out_features, in_features)."""

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        self.weight = Parameter(np.zeros((out_features, in_features), np.float32))
        self.bias = Parameter(np.zeros(out_features, np.float32)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)


class Embedding(Module):
    """Rows of weight (num_embeddings, dim) by number."""

    def __init__(self, num_embeddings: int, dim: int) -> None:
        self.weight = Parameter(np.zeros((num_embeddings, dim), np.float32))

    def forward(self, ids: npt.NDArray[np.integer]) -> Tensor:
        return F.embedding(ids, self.weight)


class LayerNorm(Module):
    """Normalised last axis, times weight, plus bias."""

    def __init__(self, dim: int, eps: float = 1e-5) -> None:
        self.weight = Parameter(np.ones(dim, np.float32))
        self.bias = Parameter(np.zeros(dim, np.float32))
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
        if not 0 <= p < 1:
            raise ValueError(f"p: expected a probability in [0, 1), got {p}")
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.p if self.training else 0.0)
