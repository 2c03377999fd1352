"""Activations and gated units.

Each saves its inputs and computes the derivative again in backward, which costs less than keeping
another array.
"""

from typing import Literal

from pyllm import ops
from pyllm.autograd import Tensor, record

Approximate = Literal["none", "tanh"]


def relu(x: Tensor) -> Tensor:
    """max(x, 0); see `ops.relu`."""
    data = x.data
    return record(
        "relu", ops.relu(data), (x,), lambda grad: (ops.relu_backward(grad, data),), saved=(x,)
    )


def gelu(x: Tensor, approximate: Approximate = "none") -> Tensor:
    """x times the normal distribution function at x; see `ops.gelu`."""
    data = x.data
    return record(
        "gelu",
        ops.gelu(data, approximate=approximate),
        (x,),
        lambda grad: (ops.gelu_backward(grad, data, approximate=approximate),),
        saved=(x,),
    )


def silu(x: Tensor) -> Tensor:
    """x sigmoid(x); see `ops.silu`."""
    data = x.data
    return record(
        "silu", ops.silu(data), (x,), lambda grad: (ops.silu_backward(grad, data),), saved=(x,)
    )


def swiglu(gate: Tensor, up: Tensor) -> Tensor:
    """silu(gate) * up; see `ops.swiglu`."""
    a, b = gate.data, up.data
    return record(
        "swiglu",
        ops.swiglu(a, b),
        (gate, up),
        lambda grad: ops.swiglu_backward(grad, a, b),
        saved=(gate, up),
    )


def geglu(gate: Tensor, up: Tensor, approximate: Approximate = "none") -> Tensor:
    """gelu(gate) * up; see `ops.geglu`."""
    a, b = gate.data, up.data
    return record(
        "geglu",
        ops.geglu(a, b, approximate=approximate),
        (gate, up),
        lambda grad: ops.geglu_backward(grad, a, b, approximate=approximate),
        saved=(gate, up),
    )
