"""Rotary position embedding, half-split and interleaved."""

import ml_dtypes  # noqa: F401  (registers bfloat16 with NumPy)
import numpy as np
from numpy.typing import DTypeLike

from pyllm.ops.backend import backend_of
from pyllm.ops.types import Array


def rotary_cache(
    length: int, dim: int, *, base: float = 10000.0, dtype: DTypeLike = np.float32
) -> tuple[np.ndarray, np.ndarray]:
    """The cosines and sines of position t times base^(-2i / dim), for `rotary`.

    Args:
        length: number of positions.
        dim: number of features to rotate, even.
        base: of the geometric sequence of wavelengths.
        dtype: of the tables; the angles are computed in float64.

    Returns:
        (cos, sin), each (length, dim // 2).

    Raises:
        ValueError: a negative length, dim odd or negative, base not positive.
    """
    if length < 0:
        raise ValueError(f"length: expected 0 or more, got {length}")
    if dim < 0 or dim % 2:
        raise ValueError(f"dim: expected an even number of features, got {dim}")
    if not base > 0:
        raise ValueError(f"base: expected a positive number, got {base}")
    frequencies = float(base) ** (-np.arange(0, dim, 2) / max(dim, 1))
    angles = np.arange(length)[:, None] * frequencies
    return np.cos(angles).astype(dtype), np.sin(angles).astype(dtype)


def rotary(
    x: Array,
    cos: Array,
    sin: Array,
    *,
    positions: Array | None = None,
    interleaved: bool = False,
    out: Array | None = None,
) -> Array:
    """Rotate pairs of features by the angles of their positions (Su et al., RoFormer, 2021).

    Args:
        x: (batch, seq, heads, dim), or (seq, heads, dim); float32, bfloat16, float16 or float64;
            any strides.
        cos, sin: (length, half) with 2 * half <= dim, as from `rotary_cache`; the features past
            2 * half stay as they are.
        positions: (seq,) or (batch, seq), int32 or int64, in [0, length); default 0, 1, ...
        interleaved: pairs are features (2i, 2i + 1) as in GPT-J, else (i, i + half) as in
            GPT-NeoX and Llama.
        out: where to write the result: shape and dtype of x; may be x.

    Raises:
        TypeError: an argument is no array, or of a dtype that is not supported.
        ValueError: a shape does not fit, a position out of range (the message names it).
    """
    return backend_of(x).rotary(x, cos, sin, positions, interleaved, out)


def rotary_backward(
    grad: Array,
    cos: Array,
    sin: Array,
    *,
    positions: Array | None = None,
    interleaved: bool = False,
    out: Array | None = None,
) -> Array:
    """Gradient with respect to x of `rotary`: the opposite rotation of grad.

    Args:
        grad: gradient with respect to the result.
        cos, sin, positions, interleaved: as in the forward.
        out: where to write the result; may be grad.
    """
    return backend_of(grad).rotary_backward(grad, cos, sin, positions, interleaved, out)
