"""Activations and gated units.

Each saves its inputs and computes the derivative again in backward, which costs less than keeping
another array. The packed forms read gate and up as halves of one product, and write the gradients
as halves of one array.
"""

from collections.abc import Callable
from typing import Literal

from pyllm import memory, ops
from pyllm.autograd import Array, Tensor, leave_recipe, record
from pyllm.ops.linear import Activation

Approximate = Literal["none", "tanh"]


def relu(x: Tensor) -> Tensor:
    """max(x, 0); see `ops.relu`."""
    return _pointwise("relu", x, lambda grad, data: ops.relu_backward(grad, data))


def gelu(x: Tensor, approximate: Approximate = "none") -> Tensor:
    """x times the normal distribution function at x; see `ops.gelu`."""
    return _pointwise(
        "gelu" if approximate == "none" else "gelu_tanh",
        x,
        lambda grad, data: ops.gelu_backward(grad, data, approximate=approximate),
    )


def silu(x: Tensor) -> Tensor:
    """x sigmoid(x); see `ops.silu`."""
    return _pointwise("silu", x, lambda grad, data: ops.silu_backward(grad, data))


def apply(activation: Activation, x: Array) -> Array:
    """The activation of a linear layer on an array."""
    match activation:
        case "relu":
            return ops.relu(x)
        case "silu":
            return ops.silu(x)
        case "gelu":
            return ops.gelu(x)
        case "gelu_tanh":
            return ops.gelu(x, approximate="tanh")


def gradient(activation: Activation, grad: Array, x: Array, out: Array) -> Array:
    """The gradient of `apply` with respect to x, written to `out`, which may be x."""
    match activation:
        case "relu":
            return ops.relu_backward(grad, x, out=out)
        case "silu":
            return ops.silu_backward(grad, x, out=out)
        case "gelu":
            return ops.gelu_backward(grad, x, out=out)
        case "gelu_tanh":
            return ops.gelu_backward(grad, x, approximate="tanh", out=out)


def _pointwise(
    activation: Activation, x: Tensor, backward: Callable[[Array, Array], Array]
) -> Tensor:
    data = x.data
    y = record(
        activation,
        apply(activation, data),
        (x,),
        lambda grad: (backward(grad, data),),
        saved=(x,),
    )
    leave_recipe(y, lambda: apply(activation, data), (x,))
    return y


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


def swiglu_packed(x: Tensor) -> Tensor:
    """silu(gate) * up with x = (gate, up) along the last axis.

    Raises:
        ValueError: the axis cannot be halved.
    """
    gate, up = _halves(x.data)

    def backward(grad: Array) -> tuple[Array]:
        made = memory.empty_like(grad, (*gate.shape[:-1], 2 * gate.shape[-1]))
        ops.swiglu_backward(grad, gate, up, out=_halves(made))
        return (made,)

    return record("swiglu", ops.swiglu(gate, up), (x,), backward, saved=(x,))


def geglu_packed(x: Tensor, approximate: Approximate = "none") -> Tensor:
    """gelu(gate) * up with x = (gate, up) along the last axis.

    Raises:
        ValueError: the axis cannot be halved.
    """
    gate, up = _halves(x.data)

    def backward(grad: Array) -> tuple[Array]:
        made = memory.empty_like(grad, (*gate.shape[:-1], 2 * gate.shape[-1]))
        ops.geglu_backward(grad, gate, up, approximate=approximate, out=_halves(made))
        return (made,)

    return record("geglu", ops.geglu(gate, up, approximate=approximate), (x,), backward, saved=(x,))


def _halves(x: Array) -> tuple[Array, Array]:
    if x.ndim == 0 or x.shape[-1] % 2:
        raise ValueError(f"x: expected an even last axis, gate and up, got shape {x.shape}")
    half = x.shape[-1] // 2
    return x[..., :half], x[..., half:]
