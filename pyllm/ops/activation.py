"""gelu, silu and relu, the bias before them in the same pass."""

from typing import Any, Literal

from pyllm.ops.backend import backend_of
from pyllm.ops.types import Array


def gelu(
    x: Array,
    *,
    bias: Array | None = None,
    approximate: Literal["none", "tanh"] = "none",
    out: Array | None = None,
) -> Array:
    """x Phi(x), Phi the standard normal distribution, where x stands for x + bias.

    Hendrycks and Gimpel, 2016.

    Args:
        x: any shape and strides; float32, bfloat16, float16 or float64.
        bias: (n,) for x (..., n), dtype of x.
        approximate: "none" for the error function, "tanh" for its approximation by tanh.
        out: where to write the result: shape and dtype of x; may be x.

    Raises:
        TypeError: an argument is no array, or the dtypes differ or are not supported.
        ValueError: a shape does not fit, approximate is unknown, out overlaps an input.
    """
    return backend_of(x).gelu(x, bias, approximate, out)


def gelu_backward(
    grad: Array,
    x: Array,
    *,
    bias: Array | None = None,
    approximate: Literal["none", "tanh"] = "none",
    out: Array | None = None,
) -> Any:
    """Gradient of `gelu`: dx, or (dx, dbias) with a bias.

    Args:
        grad: gradient with respect to the result; shape and dtype of x.
        x, bias, approximate: as in the forward.
        out: where to write dx; may be grad or x.

    Returns:
        dx; with a bias (dx, dbias), dbias summed over all axes but the last, in an order that the
        thread count does not change.
    """
    return backend_of(x).gelu_backward(grad, x, bias, approximate, out)


def silu(x: Array, *, bias: Array | None = None, out: Array | None = None) -> Array:
    """x sigmoid(x), where x stands for x + bias. Elfwing et al., 2017.

    Args:
        x: any shape and strides; float32, bfloat16, float16 or float64.
        bias: (n,) for x (..., n), dtype of x.
        out: where to write the result: shape and dtype of x; may be x.

    Raises:
        TypeError: an argument is no array, or the dtypes differ or are not supported.
        ValueError: a shape does not fit, out overlaps an input.
    """
    return backend_of(x).silu(x, bias, out)


def silu_backward(
    grad: Array, x: Array, *, bias: Array | None = None, out: Array | None = None
) -> Any:
    """Gradient of `silu`: dx, or (dx, dbias) with a bias.

    Args:
        grad: gradient with respect to the result; shape and dtype of x.
        x, bias: as in the forward.
        out: where to write dx; may be grad or x.

    Returns:
        dx; with a bias (dx, dbias), dbias summed over all axes but the last, in an order that the
        thread count does not change.
    """
    return backend_of(x).silu_backward(grad, x, bias, out)


def relu(x: Array, *, bias: Array | None = None, out: Array | None = None) -> Array:
    """max(x, 0), where x stands for x + bias. NaN stays NaN.

    Args:
        x: any shape and strides; float32, bfloat16, float16 or float64.
        bias: (n,) for x (..., n), dtype of x.
        out: where to write the result: shape and dtype of x; may be x.

    Raises:
        TypeError: an argument is no array, or the dtypes differ or are not supported.
        ValueError: a shape does not fit, out overlaps an input.
    """
    return backend_of(x).relu(x, bias, out)


def relu_backward(
    grad: Array, x: Array, *, bias: Array | None = None, out: Array | None = None
) -> Any:
    """Gradient of `relu`: dx, or (dx, dbias) with a bias.

    Args:
        grad: gradient with respect to the result; shape and dtype of x.
        x, bias: as in the forward.
        out: where to write dx; may be grad or x.

    Returns:
        dx; with a bias (dx, dbias), dbias summed over all axes but the last, in an order that the
        thread count does not change.
    """
    return backend_of(x).relu_backward(grad, x, bias, out)
