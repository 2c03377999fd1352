"""rms_norm along the last axis, with the residual addition before it in the same pass."""

from pyllm.ops.backend import backend_of
from pyllm.ops.types import Array


def rms_norm(
    x: Array,
    weight: Array | None = None,
    *,
    residual: Array | None = None,
    eps: float = 1e-6,
    out: Array | None = None,
    return_stats: bool = False,
) -> Array | tuple[Array, ...]:
    """s / sqrt(mean(s^2) + eps) * weight along the last axis, s = x + residual.

    Zhang and Sennrich, "Root mean square layer normalization", 2019.

    Args:
        x: (..., n); float32, bfloat16, float16 or float64; any strides.
        weight: (n,), dtype of x or float32; None stands for ones.
        residual: shape and dtype of x; added before normalising.
        eps: added to the mean square.
        out: where to write y; shape and dtype of x; may be x or residual.
        return_stats: also return rstd, which the backward needs.

    Returns:
        y; or a tuple (y, s if residual is given, rstd if return_stats). rstd is (...), float32
        (float64 for float64).

    Raises:
        TypeError: an argument is no array, or the dtypes differ or are not supported.
        ValueError: a shape does not fit, eps is negative, out overlaps an input.
    """
    return backend_of(x).rms_norm(x, weight, residual, eps, out, return_stats)


def rms_norm_backward(
    grad: Array,
    x: Array,
    weight: Array | None,
    rstd: Array,
    *,
    grad_sum: Array | None = None,
    out: Array | None = None,
) -> tuple[Array, Array | None]:
    """Gradients of `rms_norm`.

    Args:
        grad: gradient with respect to y.
        x: what was normalised: x, or s where there was a residual.
        weight, rstd: of the forward.
        grad_sum: gradient that arrives at s by another way; it is added to dx.
        out: where to write dx; may be grad, x or grad_sum.

    Returns:
        (dx, dweight); dweight None without a weight. dx is the gradient of x and of the residual
        alike. dweight is the same at any thread count.
    """
    return backend_of(x).rms_norm_backward(grad, x, weight, rstd, grad_sum, out)
