"""layer_norm along the last axis, with the residual addition before it in the same pass."""

from pyllm.ops.backend import backend_of
from pyllm.ops.types import Array


def layer_norm(
    x: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    *,
    residual: Array | None = None,
    eps: float = 1e-5,
    out: Array | None = None,
    return_stats: bool = False,
) -> Array | tuple[Array, ...]:
    """(s - mean) / sqrt(var + eps) * weight + bias along the last axis, s = x + residual.

    Ba, Kiros and Hinton, "Layer normalization", 2016.

    Args:
        x: (..., n); float32, bfloat16, float16 or float64; any strides.
        weight, bias: (n,), dtype of x or float32; None stands for ones and zeros.
        residual: shape and dtype of x; added before normalising.
        eps: added to the variance.
        out: where to write y; shape and dtype of x; may be x or residual.
        return_stats: also return mean and rstd, which the backward needs.

    Returns:
        y; or a tuple (y, s if residual is given, mean and rstd if return_stats). The statistics
        are (...), float32 (float64 for float64).

    Raises:
        TypeError: an argument is no array, or the dtypes differ or are not supported.
        ValueError: a shape does not fit, eps is negative, out overlaps an input.
    """
    return backend_of(x).layer_norm(x, weight, bias, residual, eps, out, return_stats)


def layer_norm_backward(
    grad: Array,
    x: Array,
    weight: Array | None,
    mean: Array,
    rstd: Array,
    *,
    grad_sum: Array | None = None,
    out: Array | None = None,
) -> tuple[Array, Array | None, Array | None]:
    """Gradients of `layer_norm`.

    Args:
        grad: gradient with respect to y.
        x: what was normalised: x, or s where there was a residual.
        weight, mean, rstd: of the forward.
        grad_sum: gradient that arrives at s by another way; it is added to dx.
        out: where to write dx; may be grad, x or grad_sum.

    Returns:
        (dx, dweight, dbias); the last two None without a weight. dx is the gradient of x and of
        the residual alike.
    """
    return backend_of(x).layer_norm_backward(grad, x, weight, mean, rstd, grad_sum, out)
