"""dropout with a counter-based mask: nothing is saved for backward."""

from pyllm.ops.backend import backend_of
from pyllm.ops.types import Array


def dropout(
    x: Array,
    p: float,
    *,
    seed: int,
    stream: int = 0,
    residual: Array | None = None,
    out: Array | None = None,
) -> Array:
    """x / (1 - p) where the mask keeps, 0 where it drops (with probability p), plus residual.

    The mask of element i (in row-major order) is a function of (seed, stream, i): the same at any
    thread count. Srivastava et al., 2014.

    Args:
        x: any shape and strides; float32, bfloat16, float16 or float64.
        p: 0 <= p < 1.
        seed, stream: two numbers below 2^64.
        residual: added to the result; shape and dtype of x.
        out: where to write; may be x or residual.

    Raises:
        TypeError: x is no array or of a dtype that is not supported.
        ValueError: p out of range, a shape that does not fit, out overlaps an input.
    """
    return backend_of(x).dropout(x, p, seed, stream, residual, out)


def dropout_backward(
    grad: Array, p: float, *, seed: int, stream: int = 0, out: Array | None = None
) -> Array:
    """Gradient with respect to x: the same mask on the gradient."""
    return backend_of(grad).dropout_backward(grad, p, seed, stream, out)
