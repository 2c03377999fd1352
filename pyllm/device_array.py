"""NumPy's manners for arrays on a CUDA device: views, functions of elements, assignments.

`equip` gives them to the DeviceArray of an extension module. What NumPy asks of an array through
its protocols (`__array_ufunc__`, `__array_function__`) is answered by the kernels of the module
that made it, so code written for NumPy arrays, the tape above all, works on the device as it is.

Slices, reshape and transpose are views. Python numbers join an operation in the array's dtype;
arrays of the CPU do not, but for what is assigned. Floats of 16 and 32 bits are computed with,
other dtypes are stored, converted and moved.
"""

import math
import sys
from collections.abc import Callable, Sequence
from functools import cache, partial
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np
import numpy.typing as npt

from pyllm.device_index import Place, gather, place_of, put, put_sums, strided

_UNARY = ("negative", "absolute", "sign", "sqrt", "exp", "log", "sin", "cos", "tanh")
_BINARY = ("add", "subtract", "multiply", "divide", "maximum", "minimum", "power")
_COMPARISONS = ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal")
# Of booleans: what compares equal to the first one and the negated second one (xor: itself).
_LOGIC = {"and": "greater", "or": "greater_equal", "xor": "not_equal"}
_FLOATS = (np.dtype(np.float32), np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16))
_COMPARED = (*_FLOATS, np.dtype(np.int32), np.dtype(np.int64), np.dtype(bool))


def is_on_device(array: Any) -> bool:
    """Whether it is a DeviceArray."""
    return type(array) is not np.ndarray and getattr(type(array), "_equipped", False)


def module_of(array: Any) -> ModuleType:
    """The extension module whose kernels serve a DeviceArray."""
    return sys.modules[type(array).__module__]


@cache
def equip(kind: type) -> None:
    """Give a module's DeviceArray all that this file defines."""
    for base in reversed(Manners.__mro__[:-1]):
        for name, value in vars(base).items():
            if name not in ("__dict__", "__weakref__", "__doc__", "__module__", "__slots__"):
                setattr(kind, name, value)


def full(like: Any, shape: tuple[int, ...], dtype: npt.DTypeLike, value: float) -> Any:
    """An array of one value on the device of `like`."""
    module = module_of(like)
    made = module.empty_like(like, shape, np.dtype(dtype))
    module.copy_to(made, module.to_device(np.asarray(value, dtype), like.device))
    return made


class Manners(np.lib.mixins.NDArrayOperatorsMixin):
    """Methods of a DeviceArray, beside those of the extension module."""

    _equipped = True
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: np.dtype[Any]
    ndim: int
    size: int
    device: int

    def __array__(self, *_: Any, **__: Any) -> npt.NDArray[Any]:
        raise TypeError(f"{self!r} is on a device; .numpy() copies it to the CPU")

    @property
    def itemsize(self) -> int:
        return self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        return self.size * self.itemsize

    @property
    def flags(self) -> SimpleNamespace:
        return SimpleNamespace(c_contiguous=_is_contiguous(self))

    @property
    def T(self) -> Any:
        return self.transpose(range(self.ndim)[::-1])

    def __len__(self) -> int:
        return self.shape[0]

    def item(self) -> Any:
        """The only element as a Python number; waits for the work before it."""
        return self.numpy().item()

    def __float__(self) -> float:
        return float(self.item())

    def __bool__(self) -> bool:
        return bool(self.item())

    def copy(self) -> Any:
        """Row-major, of its own."""
        return self.astype(self.dtype)

    def astype(self, dtype: npt.DTypeLike, copy: bool = True) -> Any:
        """Elements converted."""
        wanted = np.dtype(dtype)
        if not copy and wanted == self.dtype:
            return self
        module = module_of(self)
        made = module.empty_like(self, self.shape, wanted)
        module.copy_to(made, self)
        return made

    def fill(self, value: float) -> None:
        self[...] = value

    def reshape(self, *shape: Any) -> Any:
        """A view where the elements lie in row-major order, a copy elsewhere; one -1 is worked out.

        Raises:
            ValueError: the sizes do not fit.
        """
        sizes = list(shape[0] if len(shape) == 1 and isinstance(shape[0], Sequence) else shape)
        if sizes.count(-1) == 1:
            rest = math.prod(n for n in sizes if n != -1)
            sizes[sizes.index(-1)] = self.size // rest if rest else 0
        if any(n < 0 for n in sizes) or math.prod(sizes) != self.size:
            raise ValueError(f"cannot reshape {self.shape} into {tuple(sizes)}")
        array = self if _is_contiguous(self) else self.copy()
        return array.as_strided(sizes, _row_major(sizes))  # type: ignore[attr-defined]

    def transpose(self, axes: Sequence[int]) -> Any:
        """A view with the axes in this order."""
        return self.as_strided([self.shape[i] for i in axes], [self.strides[i] for i in axes])

    def __getitem__(self, index: Any) -> Any:
        """A view by integers, slices, None and `...`; with arrays in the index a new array.

        Raises:
            IndexError: out of range, too many, or no index.
        """
        place, view = self._located(index)
        return gather(view, place) if place.arrays else view

    def __setitem__(self, index: Any, value: Any) -> None:
        """Overwrite what the index picks; arrays of the CPU are copied over, all is broadcast."""
        (place, view), module = self._located(index), module_of(self)
        if not is_on_device(value):
            value = module.to_device(np.asarray(value, self.dtype), self.device)
        if place.arrays:
            put(view, place, value)
        else:
            module.copy_to(view, value)

    def put_sums(self, index: Any, value: Any) -> None:
        """As x[index] = value, but values for one element are added up, in their order."""
        place, view = self._located(index)
        if place.arrays:
            put_sums(view, place, value)
        else:
            module_of(self).copy_to(view, value)

    def _located(self, index: Any) -> tuple[Place, Any]:
        """What the index picks, and the view that its slices give."""
        place = place_of(index, self.shape)
        return place, self.as_strided(*strided(place.slices, self.shape, self.strides))

    def __array_ufunc__(
        self, ufunc: np.ufunc, method: str, *inputs: Any, out: Any = None, **options: Any
    ) -> Any:
        name = ufunc.__name__
        if method != "__call__" or set(options) - {"casting"}:
            return NotImplemented
        name, inputs = _as_comparison(name, inputs)
        if name not in (_UNARY, (*_BINARY, *_COMPARISONS))[len(inputs) - 1]:
            raise TypeError(f"{name} has no CUDA kernel; move its arrays to the CPU")
        module = module_of(self)
        operands = _operands(name, inputs)
        target = None if out is None else out[0]
        direct = target if target is not None and target.dtype == operands[0].dtype else None
        function: Any = (module.pointwise_unary, module.pointwise_binary)[len(operands) - 1]
        made = function(name, *operands, None if name in _COMPARISONS else direct)
        if target is None or made is target:
            return made
        module.copy_to(target, made)
        return target

    def __array_function__(
        self, function: Any, types: Any, arguments: tuple[Any, ...], options: dict[str, Any]
    ) -> Any:
        answer = _FUNCTIONS.get(function)
        if answer is None:
            raise TypeError(f"{function.__name__} works on the CPU; .numpy() copies an array there")
        return answer(*arguments, **options)

    if TYPE_CHECKING:  # the extension module's own

        def numpy(self) -> npt.NDArray[Any]: ...
        def as_strided(self, *arguments: Any) -> Any: ...


def _as_comparison(name: str, inputs: tuple[Any, ...]) -> tuple[str, tuple[Any, ...]]:
    """isnan, and the logic of booleans, by the comparison that is the same."""
    if name == "isnan":
        return "not_equal", (inputs[0], inputs[0])
    if any((x if is_on_device(x) else np.asarray(x)).dtype != bool for x in inputs):
        return name, inputs  # bits of numbers are no logic
    if name in ("invert", "logical_not"):
        return "equal", (inputs[0], False)
    kind = name.rpartition("_")[2]
    if kind not in _LOGIC:
        return name, inputs
    one, other = inputs
    return _LOGIC[kind], (one, other if kind == "xor" else np.logical_not(other))


def _operands(name: str, inputs: Sequence[Any]) -> list[Any]:
    """Arrays of one dtype on the device."""
    arrays = [x for x in inputs if is_on_device(x)]
    dtype = arrays[0].dtype
    for other in arrays[1:]:
        dtype = np.result_type(dtype, other.dtype) if other.dtype != dtype else dtype
    if dtype not in (_COMPARED if name in _COMPARISONS else _FLOATS):
        raise TypeError(f"{name}: {dtype} is computed with on the CPU only")
    operands = []
    for x in inputs:
        if is_on_device(x):
            operands.append(x.astype(dtype, copy=False))
        elif np.ndim(x) == 0:
            operands.append(full(arrays[0], (), dtype, x))
        else:
            raise TypeError(
                f"{name}: one array is on {arrays[0]!r}'s device, another on the CPU; move one"
            )
    return operands


def _copyto(to: Any, source: Any, casting: str = "same_kind", where: Any = True) -> None:
    if (not is_on_device(source) and np.ndim(source)) or not is_on_device(to):
        raise TypeError("copyto: one array is on a device, the other on the CPU; move one")
    if where is True:
        to[...] = source
        return
    module = module_of(to)
    mask = where if is_on_device(where) else module.to_device(np.asarray(where), to.device)
    if is_on_device(source):
        value = source.astype(to.dtype, copy=False)
    else:
        value = full(to, (), to.dtype, source)
    module.copy_to(to, value, mask)


def _place_of_extremum(
    op: str, array: Any, axis: int | None = None, out: None = None, *, keepdims: bool = False
) -> Any:
    """np.argmax and np.argmin: where the first "max" or "min" is, or the first NaN."""
    lines = array.reshape(-1) if axis is None else array
    last = lines.ndim - 1 if axis is None else axis % lines.ndim
    moved = lines.transpose([*(i for i in range(lines.ndim) if i != last), last])
    packed = moved if moved.flags.c_contiguous else moved.copy()
    places = module_of(array).reduce_places(op, packed)
    if not keepdims:
        return places
    return places.reshape(
        [1 if axis is None or i == last else n for i, n in enumerate(array.shape)]
    )


def _broadcast_to(array: Any, shape: Any) -> Any:
    sizes = (shape,) if isinstance(shape, int) else tuple(shape)
    lead = len(sizes) - array.ndim
    if lead < 0 or any(
        n not in (1, m) for n, m in zip(array.shape, sizes[max(lead, 0) :], strict=True)
    ):
        raise ValueError(f"cannot broadcast {array.shape} to {sizes}")
    steps = [s if n != 1 else 0 for n, s in zip(array.shape, array.strides, strict=True)]
    return array.as_strided(sizes, [0] * lead + steps, 0, False)


def _split(array: Any, ends: Sequence[int], axis: int = 0) -> list[Any]:
    starts, stops = [0, *map(int, ends)], [*map(int, ends), array.shape[axis]]
    before = (slice(None),) * axis
    places = [(*before, slice(a, b)) for a, b in zip(starts, stops, strict=True)]
    return [array[place] for place in places]


_FUNCTIONS: dict[Any, Callable[..., Any]] = {
    np.argmax: partial(_place_of_extremum, "max"),
    np.argmin: partial(_place_of_extremum, "min"),
    np.copyto: _copyto,
    np.broadcast_to: _broadcast_to,
    np.split: _split,
    np.shape: lambda array: array.shape,
}


def _is_contiguous(array: Any) -> bool:
    expected = 1
    for n, stride in zip(reversed(array.shape), reversed(array.strides), strict=True):
        if n != 1 and stride != expected:
            return bool(array.size == 0)
        expected *= n
    return True


def _row_major(shape: Sequence[int]) -> list[int]:
    return [math.prod(shape[i + 1 :]) for i in range(len(shape))]
