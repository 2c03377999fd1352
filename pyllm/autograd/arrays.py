"""Arithmetic for the tape: results in the caching allocator, dtypes as the field mixes them.

Common functions of floats run in kernels of ours (threaded, 16-bit storage too), others in NumPy.
Sums and other chains of roundings of 16-bit arrays run in float32 and are rounded once, at the end.
Overflow is inf and 0 / 0 NaN, by IEEE 754 and without NumPy's warnings.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

import ml_dtypes
import numpy as np
import numpy.typing as npt

from pyllm import _cpu, memory
from pyllm.device_array import full, is_on_device, module_of

Array: TypeAlias = npt.NDArray[Any]
DType: TypeAlias = np.dtype[Any]

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
FLOAT32 = np.dtype(np.float32)
_SMALL = 4096  # bytes below which NumPy's own memory is as good
_MAX_DIMS = 8  # of an array that kernels take
_like: dict[DType, Array] = {}

# NumPy's functions that have a kernel, by their number of operands.
_KERNELS: tuple[dict[np.ufunc, str], ...] = (
    {f: f.__name__ for f in (np.negative, np.absolute, np.sqrt, np.exp, np.log, np.tanh)},
    {f: f.__name__ for f in (np.add, np.subtract, np.multiply, np.divide, np.maximum, np.minimum)},
)
_REDUCTIONS: dict[np.ufunc, str] = {np.add: "sum", np.maximum: "max", np.minimum: "min"}


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


def empty(shape: tuple[int, ...], dtype: DType, like: Any = None) -> Array:
    """An array of whatever the memory held, on the device of `like` if that is on one."""
    if is_on_device(like):
        return module_of(like).empty_like(like, shape, dtype)
    count = 1
    for n in shape:
        count *= n
    if count * dtype.itemsize < _SMALL:
        return np.empty(shape, dtype)
    like = _like.get(dtype)
    if like is None:
        like = _like[dtype] = np.empty(0, dtype)
    return memory.empty_like(like, shape)


def zeros(shape: tuple[int, ...], dtype: DType, like: Any = None) -> Array:
    """On the device of `like`, if that is on one."""
    if is_on_device(like):
        return full(like, shape, dtype, 0)
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
    first = operands[0]
    if out is None and dtype is None and type(first) is np.ndarray and first.ndim <= _MAX_DIMS:
        # The common case: on small arrays the questions below cost more than the arithmetic.
        if len(operands) == 1:
            kernel = _KERNELS[0].get(ufunc)
            if kernel is not None and is_float(first.dtype):
                return _cpu.pointwise_unary(kernel, first)
        else:
            second = operands[1]
            kernel = _KERNELS[1].get(ufunc)
            if (
                kernel is not None
                and type(second) is np.ndarray
                and second.dtype == first.dtype
                and second.ndim <= _MAX_DIMS
                and is_float(first.dtype)
            ):
                return _cpu.pointwise_binary(kernel, first, second)
    device = any(map(is_on_device, operands))
    if out is None:
        if dtype is None:
            dtype = operands[0].dtype
            for operand in operands[1:]:
                dtype = promote(dtype, operand.dtype)
        operands = tuple(cast(as_array(x), dtype) for x in operands)
    if device:
        return ufunc(*operands, out=out)
    kernel = _KERNELS[len(operands) - 1].get(ufunc)
    if kernel is not None and _has_kernels(*operands, *(() if out is None else (out,))):
        if len(operands) == 1:
            return _cpu.pointwise_unary(kernel, operands[0], out)
        return _cpu.pointwise_binary(kernel, operands[0], operands[1], out)
    with np.errstate(all="ignore"):
        if out is not None:
            return ufunc(*operands, out=out, casting="same_kind")
        shape = operands[0].shape if len(operands) == 1 else np.broadcast(*operands).shape
        return ufunc(*operands, out=empty(shape, operands[0].dtype))


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)) of floats."""
    if is_on_device(x):
        return module_of(x).pointwise_unary("sigmoid", x)
    if _has_kernels(x):
        return _cpu.pointwise_unary("sigmoid", x)
    return _cpu.pointwise_unary("sigmoid", x.reshape(-1)).reshape(x.shape)


def _has_kernels(*arrays: Array) -> bool:
    """Floats of one dtype, and of few enough axes."""
    dtype = arrays[0].dtype
    return is_float(dtype) and all(x.dtype == dtype and x.ndim <= _MAX_DIMS for x in arrays)


def compare(ufunc: np.ufunc, *operands: Array) -> Array:
    """A boolean ufunc of operands of any dtypes."""
    if any(map(is_on_device, operands)):
        return ufunc(*operands)
    shape = operands[0].shape if len(operands) == 1 else np.broadcast(*operands).shape
    return ufunc(*operands, out=empty(shape, np.dtype(bool)))


def cast(array: Array, dtype: DType) -> Array:
    """The array itself if it has the dtype."""
    if array.dtype == dtype:
        return array
    if is_on_device(array):
        return array.astype(dtype)
    made = empty(array.shape, dtype)
    with np.errstate(all="ignore"):
        np.copyto(made, array, casting="unsafe")
    return made


def copy(array: Array) -> Array:
    """C-contiguous, of its own."""
    if is_on_device(array):
        return array.copy()
    made = empty(array.shape, array.dtype)
    np.copyto(made, array)
    return made


def widen(array: Array) -> Array:
    """float32 of 16-bit floats; others as they are."""
    return cast(array, FLOAT32) if array.dtype.itemsize == 2 and is_float(array.dtype) else array


def add_up(array: Array, axes: Sequence[int] | None, keepdims: bool = False) -> Array:
    """Sum over axes (None: all), accumulated in float32 or wider; the accumulator's dtype."""
    if is_on_device(array):
        return _reduced_there(np.add, array, axes, keepdims)
    total: Any = _reduced(np.add, array, axes, keepdims)
    if total is None:
        dtype = array.dtype
        wide: DType = FLOAT32 if dtype.itemsize == 2 and is_float(dtype) else dtype
        if dtype.kind in "bui":
            wide = np.dtype(np.int64)
        with np.errstate(all="ignore"):
            total = np.sum(array, None if axes is None else tuple(axes), wide, keepdims=keepdims)
    return np.asarray(total)


def extremum(ufunc: np.ufunc, array: Array, axes: Sequence[int]) -> Array:
    """np.maximum or np.minimum over axes, which stay as size 1; NaN if an element is."""
    if is_on_device(array):
        return _reduced_there(ufunc, array, axes, True)
    found: Any = _reduced(ufunc, array, axes, True)
    return np.asarray(
        ufunc.reduce(array, axis=tuple(axes), keepdims=True) if found is None else found
    )


def _reduced(
    ufunc: np.ufunc, array: Array, axes: Sequence[int] | None, keepdims: bool
) -> Array | None:
    """The reduction by a kernel: over the first or the last axes of contiguous floats."""
    ndim = array.ndim
    if not (_has_kernels(array) and array.flags.c_contiguous):
        return None
    given = tuple(range(ndim)) if axes is None else tuple(sorted(axes))
    leading = 0 < len(given) < ndim and given[0] == 0
    if given != (tuple(range(len(given))) if leading else tuple(range(ndim - len(given), ndim))):
        return None
    result = _cpu.reduce(_REDUCTIONS[ufunc], array, len(given), leading)
    if not keepdims:
        return result
    return result.reshape([1 if i in given else n for i, n in enumerate(array.shape)])


def _reduced_there(
    ufunc: np.ufunc, array: Array, axes: Sequence[int] | None, keepdims: bool
) -> Array:
    """The reduction on the device: axes that are not the last ones are moved there."""
    given = range(array.ndim) if axes is None else sorted(axes)
    others = [i for i in range(array.ndim) if i not in given]
    moved = array.transpose([*others, *given])
    packed = moved if moved.flags.c_contiguous else moved.copy()
    result = module_of(array).reduce(_REDUCTIONS[ufunc], packed, len(given), False)
    if not keepdims:
        return result
    return result.reshape([1 if i in given else n for i, n in enumerate(array.shape)])


def as_array(data: Any) -> Array:
    """Itself, on a device or not, or what NumPy makes of it."""
    return data if isinstance(data, np.ndarray) or is_on_device(data) else np.asarray(data)


def beside(data: Any, like: Any) -> Any:
    """An array (of ids, say) where `like` is; None stays None."""
    if data is None:
        return None
    if not is_on_device(like) or is_on_device(data):
        return as_array(data)
    return module_of(like).to_device(np.asarray(data), like.device)


def beside_or_given(data: Any, like: Any) -> Any:
    """On the device of `like`; on the CPU what was given, of whichever framework."""
    return beside(data, like) if is_on_device(like) else data


def is_reshaped_view(reshaped: Array, array: Array) -> bool:
    """Whether `array.reshape` gave a view: on a device it does so where that is contiguous."""
    if is_on_device(array):
        return bool(array.flags.c_contiguous)
    return np.may_share_memory(reshaped, array)


def packed(array: Array) -> Array:
    """C-contiguous: itself or a copy."""
    return array if array.flags.c_contiguous else copy(array)


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
