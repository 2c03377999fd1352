"""The feed-forward part of a transformer block, plain or gated.

    plain: down(activation(up(x)))
    gated: down(activation(gate(x)) * up(x))      (Shazeer, "GLU variants ...", 2020)

The activation is part of the product before it, or reads both halves of one product.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from pyllm.autograd import Tensor
from pyllm.nn import functional as F
from pyllm.nn.layers import Linear, probability
from pyllm.nn.module import Module

PLAIN = ("gelu", "gelu_tanh", "relu", "silu")
GATED: dict[str, Callable[[Tensor], Tensor]] = {
    "geglu": F.geglu_packed,
    "geglu_tanh": partial(F.geglu_packed, approximate="tanh"),
    "swiglu": F.swiglu_packed,
}


class MLP(Module):
    """Parameters: up (inner_size, hidden_size), or gate_up (2 * inner_size, hidden_size) with the
    gate first; down (hidden_size, inner_size).

    Args:
        inner_size: default 4 * hidden_size; gated 8 / 3 * hidden_size, rounded up to a multiple
            of 8, which makes as many parameters.
        activation: gelu, gelu_tanh, relu, silu, or gated: swiglu, geglu, geglu_tanh.
        dropout: of the inner activations, in training.

    Raises:
        ValueError: an unknown activation, or dropout outside [0, 1).
    """

    def __init__(
        self,
        hidden_size: int,
        inner_size: int | None = None,
        *,
        activation: str = "gelu",
        bias: bool = True,
        dropout: float = 0.0,
    ) -> None:
        if activation not in PLAIN and activation not in GATED:
            names = ", ".join([*PLAIN, *GATED])
            raise ValueError(f"activation: expected one of {names}, got {activation!r}")
        self.activation, self.dropout = activation, probability("dropout", dropout)
        if activation in GATED:
            inner = inner_size or -(-hidden_size // 3) * 8
            self.gate_up = Linear(hidden_size, 2 * inner, bias)
        else:
            inner = inner_size or 4 * hidden_size
            self.up = Linear(hidden_size, inner, bias)
        self.down = Linear(inner, hidden_size, bias)

    def forward(self, x: Tensor) -> Tensor:
        if self.activation in GATED:
            inner = GATED[self.activation](self.gate_up(x))
        else:
            kind: Any = self.activation
            inner = F.linear(x, self.up.weight, self.up.bias, activation=kind)
        return self.down(F.dropout(inner, self.dropout if self.training else 0.0))
