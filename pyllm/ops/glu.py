"""Gated linear units: swiglu and geglu."""

from typing import Literal

from pyllm.ops.backend import backend_of
from pyllm.ops.types import Array


def swiglu(
    gate: Array,
    up: Array,
    *,
    gate_bias: Array | None = None,
    up_bias: Array | None = None,
    out: Array | None = None,
) -> Array:
    """silu(gate + gate_bias) * (up + up_bias). Shazeer, "GLU variants improve transformer", 2020.

    Args:
        gate, up: one shape (..., n) and dtype; float32, bfloat16, float16 or float64; any strides,
            such as the two halves of one packed array.
        gate_bias, up_bias: (n,), dtype of gate.
        out: where to write the result: shape and dtype of gate; may be gate or up.

    Raises:
        TypeError: an argument is no array, or the dtypes differ or are not supported.
        ValueError: a shape does not fit, out overlaps an input.
    """
    return backend_of(gate).swiglu(gate, up, gate_bias, up_bias, out)


def swiglu_backward(
    grad: Array,
    gate: Array,
    up: Array,
    *,
    gate_bias: Array | None = None,
    up_bias: Array | None = None,
    out: tuple[Array, Array] | None = None,
) -> tuple[Array, ...]:
    """Gradients of `swiglu`.

    Args:
        grad: gradient with respect to the result; shape and dtype of gate.
        gate, up, gate_bias, up_bias: as in the forward.
        out: where to write (dgate, dup); may be the halves of one packed array, or (gate, up).

    Returns:
        (dgate, dup), then dgate_bias and dup_bias for the biases that were given.
    """
    return backend_of(gate).swiglu_backward(grad, gate, up, gate_bias, up_bias, out)


def geglu(
    gate: Array,
    up: Array,
    *,
    gate_bias: Array | None = None,
    up_bias: Array | None = None,
    approximate: Literal["none", "tanh"] = "none",
    out: Array | None = None,
) -> Array:
    """gelu(gate + gate_bias) * (up + up_bias). Shazeer, "GLU variants improve transformer", 2020.

    Args:
        gate, up: one shape (..., n) and dtype; float32, bfloat16, float16 or float64; any strides,
            such as the two halves of one packed array.
        gate_bias, up_bias: (n,), dtype of gate.
        approximate: as in `gelu`.
        out: where to write the result: shape and dtype of gate; may be gate or up.

    Raises:
        TypeError: an argument is no array, or the dtypes differ or are not supported.
        ValueError: a shape does not fit, out overlaps an input.
    """
    return backend_of(gate).geglu(gate, up, gate_bias, up_bias, approximate, out)


def geglu_backward(
    grad: Array,
    gate: Array,
    up: Array,
    *,
    gate_bias: Array | None = None,
    up_bias: Array | None = None,
    approximate: Literal["none", "tanh"] = "none",
    out: tuple[Array, Array] | None = None,
) -> tuple[Array, ...]:
    """Gradients of `geglu`.

    Args:
        grad: gradient with respect to the result; shape and dtype of gate.
        gate, up, gate_bias, up_bias, approximate: as in the forward.
        out: where to write (dgate, dup); may be the halves of one packed array, or (gate, up).

    Returns:
        (dgate, dup), then dgate_bias and dup_bias for the biases that were given.
    """
    return backend_of(gate).geglu_backward(grad, gate, up, gate_bias, up_bias, approximate, out)
