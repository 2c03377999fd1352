"""NumPy for the tape: results in the caching allocator's memory, dtypes as the field mixes them.

Sums and other chains of roundings of 16-bit arrays run in float32 and are rounded once, at the end.
Overflow is inf and 0 / 0 NaN, by IEEE 754 and without NumPy's warnings.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

import ml_dtypes
import numpy as np
import numpy.typing as npt

from pyllm import memory

Array: TypeAlias = npt.NDArray[Any]
DType: TypeAlias = np.dtype[Any]

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
FLOAT32 = np.dtype(np.float32)
_SMALL = 4096  # bytes below which NumPy's own memory is as good
_like: dict[DType, Array] = {}


def is_float(dtype: DType) -> bool:
    return dtype.kind == "f" or dtype == BFLOAT16


def promote(a: DType, b: DType) -> DType:
    """The dtype of a result of a and b: floats outweigh integers, wider ones narrower ones."""
    if a == b:
        return a
    if is_float(a) != is_float(b):
        return a if is_float(a) else b
    if is_float(a) and a.itemsize == b.itemsize == 2:
        return FLOAT32  # bfloat16 and float16
    return np.result_type(a, b)


def weak_scalar(value: Any, dtype: DType) -> Array:
    """A Python or NumPy number as an operand of a tensor of `dtype`, which it leaves as it is.

    But for a float beside integers, which makes them float32, and an integer beside booleans.
    """
    kind = np.asarray(value).dtype.kind
    if not is_float(dtype):
        if kind == "f":
            dtype = FLOAT32
        elif dtype.kind == "b" and kind in "iu":
            dtype = np.dtype(np.int64)
    return np.asarray(value, dtype)


def empty(shape: tuple[int, ...], dtype: DType) -> Array:
    """An array of whatever the memory held."""
    count = 1
    for n in shape:
        count *= n
    if count * dtype.itemsize < _SMALL:
        return np.empty(shape, dtype)
    like = _like.get(dtype)
    if like is None:
        like = _like[dtype] = np.empty(0, dtype)
    return memory.empty_like(like, shape)


def zeros(shape: tuple[int, ...], dtype: DType) -> Array:
    made = empty(shape, dtype)
    made.fill(0)
    return made


def evaluate(
    ufunc: np.ufunc, *operands: Array, dtype: DType | None = None, out: Array | None = None
) -> Array:
    """ufunc(*operands), broadcast, of `dtype` (default: that of the operands, promoted).

    Args:
        out: where to write the result, in its own dtype; may be an operand.
    """
    if out is not None:
        with np.errstate(all="ignore"):
            return ufunc(*operands, out=out, casting="same_kind")
    if dtype is None:
        dtype = operands[0].dtype
        for operand in operands[1:]:
            dtype = promote(dtype, operand.dtype)
    operands = tuple(cast(x, dtype) for x in operands)
    shape = operands[0].shape if len(operands) == 1 else np.broadcast(*operands).shape
    with np.errstate(all="ignore"):
        return ufunc(*operands, out=empty(shape, dtype))


def compare(ufunc: np.ufunc, *operands: Array) -> Array:
    """A boolean ufunc of operands of any dtypes."""
    shape = operands[0].shape if len(operands) == 1 else np.broadcast(*operands).shape
    return ufunc(*operands, out=empty(shape, np.dtype(bool)))


def cast(array: Array, dtype: DType) -> Array:
    """The array itself if it has the dtype."""
    if array.dtype == dtype:
        return array
    made = empty(array.shape, dtype)
    with np.errstate(all="ignore"):
        np.copyto(made, array, casting="unsafe")
    return made


def copy(array: Array) -> Array:
    """C-contiguous, of its own."""
    made = empty(array.shape, array.dtype)
    np.copyto(made, array)
    return made


def widen(array: Array) -> Array:
    """float32 of 16-bit floats; others as they are."""
    return cast(array, FLOAT32) if array.dtype.itemsize == 2 and is_float(array.dtype) else array


def add_up(array: Array, axes: Sequence[int] | None, keepdims: bool = False) -> Array:
    """Sum over axes (None: all), accumulated in float32 or wider; the accumulator's dtype."""
    dtype = array.dtype
    wide: DType = FLOAT32 if dtype.itemsize == 2 and is_float(dtype) else dtype
    if dtype.kind in "bui":
        wide = np.dtype(np.int64)
    with np.errstate(all="ignore"):
        total: Any = np.sum(array, None if axes is None else tuple(axes), wide, keepdims=keepdims)
    return np.asarray(total)


def fit(gradient: Array, shape: tuple[int, ...], dtype: DType) -> Array:
    """The gradient of what was broadcast and cast from `shape` and `dtype`."""
    if gradient.shape != shape:
        lead = gradient.ndim - len(shape)
        axes = tuple(range(lead)) + tuple(
            lead + i for i, n in enumerate(shape) if n == 1 and gradient.shape[lead + i] != 1
        )
        gradient = add_up(gradient, axes).reshape(shape)
    return cast(gradient, dtype)


def axes_of(axis: int | Sequence[int] | None, ndim: int) -> tuple[int, ...]:
    """Axes counted from the front, in order.

    Raises:
        ValueError: out of range, or one twice.
    """
    if axis is None:
        return tuple(range(ndim))
    given = (axis,) if isinstance(axis, int | np.integer) else tuple(axis)
    axes = sorted(axis_of(one, ndim) for one in given)
    if len(set(axes)) != len(axes):
        raise ValueError(f"axis: {tuple(given)} names one twice")
    return tuple(axes)


def axis_of(axis: int, ndim: int, name: str = "axis") -> int:
    """An axis counted from the front.

    Raises:
        ValueError: out of range.
    """
    if not -ndim <= axis < ndim:
        raise ValueError(f"{name}: {axis} is out of range for a tensor of {ndim} axes")
    return axis % ndim
