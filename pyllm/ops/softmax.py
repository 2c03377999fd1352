"""softmax and log_softmax along one axis, with temperature and mask."""

from pyllm.ops.backend import backend_of
from pyllm.ops.types import Array


def softmax(
    x: Array,
    axis: int = -1,
    *,
    temperature: float = 1.0,
    mask: Array | None = None,
    out: Array | None = None,
) -> Array:
    """exp(x / temperature), normalised to sum to one along `axis`.

    Args:
        x: any shape; float32, bfloat16, float16 or float64; any strides.
        axis: the axis to normalise along.
        temperature: positive; above 1 flattens the distribution, below 1 sharpens it.
        mask: broadcastable to x's shape. bool: False leaves an element out (probability 0).
            float32, bfloat16, float16 or float64: added to x / temperature; -inf leaves out.
            A row that is left out entirely, or is all -inf, gives zeros.
        out: where to write the result: shape and dtype of x; may be x itself.

    Returns:
        Probabilities, shape and dtype of x; below 2^-126, float32's smallest normal number, 0.

    Raises:
        TypeError: an argument is no array, or its dtype is not supported.
        ValueError: axis out of range, temperature not positive, mask or out of a wrong shape.
    """
    return backend_of(x).softmax(x, axis, temperature, mask, out)


def softmax_backward(
    grad: Array,
    y: Array,
    axis: int = -1,
    *,
    temperature: float = 1.0,
    out: Array | None = None,
) -> Array:
    """Gradient with respect to x of `softmax`: y * (grad - sum(grad * y)) / temperature.

    Args:
        grad: gradient with respect to y; shape and dtype of y.
        y: what the forward returned.
        axis, temperature: as in the forward.
        out: where to write the result; may be grad or y.
    """
    return backend_of(y).softmax_backward(grad, y, axis, temperature, out)


def log_softmax(
    x: Array,
    axis: int = -1,
    *,
    temperature: float = 1.0,
    mask: Array | None = None,
    out: Array | None = None,
) -> Array:
    """Logarithm of `softmax`, without its underflow; same arguments and errors.

    Elements left out by the mask get -inf.
    """
    return backend_of(x).log_softmax(x, axis, temperature, mask, out)


def log_softmax_backward(
    grad: Array,
    y: Array,
    axis: int = -1,
    *,
    temperature: float = 1.0,
    out: Array | None = None,
) -> Array:
    """Gradient with respect to x of `log_softmax`: (grad - exp(y) * sum(grad)) / temperature."""
    return backend_of(y).log_softmax_backward(grad, y, axis, temperature, out)
