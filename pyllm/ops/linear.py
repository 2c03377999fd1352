"""linear: x weight^T + bias, with the activation of the layer applied in the same pass."""

from typing import Literal, TypeAlias

from pyllm.ops.backend import backend_of
from pyllm.ops.types import Array

Activation: TypeAlias = Literal["relu", "gelu", "gelu_tanh", "silu"]


def linear(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    *,
    activation: Activation | None = None,
    out: Array | None = None,
    return_preactivation: bool = False,
) -> Array | tuple[Array, Array]:
    """activation(x weight^T + bias).

    Bias and activation are applied to each part of the product while it is in cache.

    Args:
        x: (..., in); float32, bfloat16, float16 or float64; any strides.
        weight: (out, in), dtype of x.
        bias: (out,), dtype of x.
        activation: None, "relu", "gelu" (x times the normal distribution at x), "gelu_tanh" (its
            approximation by tanh) or "silu".
        out: where to write the result: (..., out), dtype of x.
        return_preactivation: also return x weight^T + bias, which the backward of an activation
            needs.

    Returns:
        y (..., out), or (y, preactivation); without an activation these are the same array.

    Raises:
        TypeError: an argument is no array, or the dtypes differ or are not supported.
        ValueError: a shape does not fit, an unknown activation, out overlapping an input.
    """
    return backend_of(x).linear(x, weight, bias, activation, out, return_preactivation)


def linear_backward(
    grad: Array,
    x: Array,
    weight: Array,
    *,
    bias: bool = False,
    activation: Activation | None = None,
    preactivation: Array | None = None,
    need_dx: bool = True,
    need_dweight: bool = True,
    dx_out: Array | None = None,
    dweight_out: Array | None = None,
    dbias_out: Array | None = None,
    accumulate: bool = False,
) -> tuple[Array | None, Array | None, Array | None]:
    """Gradients of `linear`.

    With g = grad * activation'(preactivation): dx = g weight, dweight = g^T x, dbias = the sum of
    g over all leading axes.

    Args:
        grad: gradient with respect to y, (..., out).
        x, weight, activation: as in the forward.
        bias: whether the layer has a bias, so that dbias is wanted.
        preactivation: what the forward returned; needed with an activation.
        need_dx, need_dweight: False leaves that gradient out (None is returned for it).
        dx_out, dweight_out, dbias_out: where to write; dweight_out and dbias_out may be float32
            where the parameters are bfloat16 or float16.
        accumulate: add to what dweight_out and dbias_out hold instead of overwriting it.

    Returns:
        (dx, dweight, dbias), None for what was not asked for.
    """
    return backend_of(x).linear_backward(
        grad,
        x,
        weight,
        bias,
        activation,
        preactivation,
        need_dx,
        need_dweight,
        dx_out,
        dweight_out,
        dbias_out,
        accumulate,
    )
