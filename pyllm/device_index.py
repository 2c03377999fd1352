"""x[index] for arrays on a device: views by integers and slices, rows of a table by arrays.

As NumPy has it. With arrays in the index, the axes that they pick from are moved to the front of
the view that its slices give; this is a table, and the arrays together say which of its rows. Row
numbers are worked out and checked on the CPU, where an index that lives on the device is copied to
(which waits for it).
"""

import math
import sys
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

_Numbers = npt.NDArray[np.int64]


class Place(NamedTuple):
    """What an index picks.

    Attributes:
        slices: the index with a whole slice for each axis that an array picks from.
        arrays: the arrays, by the axis of the view that `slices` gives; without any it is this.
        at: which axis of the result is the first of the arrays' own.
    """

    slices: tuple[Any, ...]
    arrays: dict[int, _Numbers]
    at: int


def place_of(index: Any, shape: tuple[int, ...]) -> Place:
    """Raises: IndexError: no index, or one of another number of axes than `shape` has."""
    entries = [_entry(e) for e in (index if isinstance(index, tuple) else (index,))]
    taken = sum(_axes_taken(e) for e in entries)
    ellipses = sum(e is Ellipsis for e in entries)
    if taken > len(shape) or ellipses > 1:
        raise IndexError(f"index: {taken} entries for {len(shape)} axes, or several `...`")
    has_arrays = any(isinstance(e, np.ndarray) for e in entries)
    slices: list[Any] = []
    arrays: dict[int, _Numbers] = {}
    axis = 0
    for entry in entries if ellipses else [*entries, Ellipsis]:
        if entry is Ellipsis:
            slices += [slice(None)] * (len(shape) - taken)
            axis += len(shape) - taken
            continue
        for number in _numbers(entry, shape[axis:]) if has_arrays else ():
            arrays[len(slices)] = number
            slices.append(slice(None) if _axes_taken(entry) else None)
        if not (has_arrays and isinstance(entry, np.ndarray | int)):
            slices.append(entry)
        axis += _axes_taken(entry)
    picking = [i for i, e in enumerate(entries) if isinstance(e, np.ndarray | int)]
    together = has_arrays and picking[-1] - picking[0] < len(picking)
    return Place(tuple(slices), arrays, min(arrays) if together else 0)


def strided(
    slices: tuple[Any, ...], shape: tuple[int, ...], strides: tuple[int, ...]
) -> tuple[list[int], list[int], int]:
    """Shape, strides and first element of what integers, slices and Nones pick, one an axis."""
    sizes: list[int] = []
    steps: list[int] = []
    offset = axis = 0
    for entry in slices:
        if entry is None:
            sizes.append(1)
            steps.append(0)
            continue
        n, step = shape[axis], strides[axis]
        if isinstance(entry, slice):
            start, stop, stride = entry.indices(n)
            count = len(range(start, stop, stride))
            offset += start * step if count else 0
            sizes.append(count)
            steps.append(stride * step)
        else:
            offset += _counted_from_the_front(entry, axis, n) * step
        axis += 1
    return sizes, steps, offset


def gather(view: Any, place: Place) -> Any:
    """What the arrays of `place` pick from the view that its slices give."""
    rows, own = _rows(place, view.shape)
    table, rest = _table(view, place)
    made = _module(view).gather_rows(_flat(table, len(place.arrays)), _there(rows, view))
    first = list(range(len(own)))
    others = list(range(len(own), len(own) + len(rest)))
    return made.reshape(*own, *rest).transpose([*others[: place.at], *first, *others[place.at :]])


def put(view: Any, place: Place, value: Any) -> None:
    """Overwrite that; of several values for one element the last one stays."""
    rows, values = _values(view, place, value)
    distinct, last = np.unique(rows[::-1], return_index=True)
    if distinct.size < rows.size:
        rows, kept = distinct, rows.size - 1 - last
        values = _module(view).gather_rows(values, _there(kept, view))
    _scatter(view, place, rows, values)


def put_sums(view: Any, place: Place, value: Any) -> None:
    """Overwrite that; several values for one element are added up, in their order, in float32."""
    rows, values = _values(view, place, value)
    distinct, which = np.unique(rows, return_inverse=True)
    if distinct.size < rows.size:
        module, (_, width) = _module(view), values.shape
        sums = module.empty_like(view, (distinct.size, width), np.dtype(np.float32))
        numbers = _there(which.reshape(-1), view)
        module.embedding_backward(values, numbers, distinct.size, out=sums)
        rows, values = distinct, sums.astype(view.dtype, copy=False)
    _scatter(view, place, rows, values)


def _entry(one: Any) -> Any:
    if one is None or one is Ellipsis or isinstance(one, slice):
        return one
    if isinstance(one, int | np.integer) and not isinstance(one, bool):
        return int(one)
    array = one if isinstance(one, np.ndarray) else np.asarray(getattr(one, "numpy", lambda: one)())
    if array.dtype.kind not in "biu":
        raise IndexError(f"index: expected integers, slices or booleans, got {array.dtype}")
    return array


def _axes_taken(entry: Any) -> int:
    if isinstance(entry, np.ndarray) and entry.dtype.kind == "b":
        return entry.ndim
    return int(entry is not None and entry is not Ellipsis)


def _numbers(entry: Any, shape: tuple[int, ...]) -> list[_Numbers]:
    """An array for each axis that an entry picks from, or the new one that a truth value adds."""
    if not isinstance(entry, np.ndarray | int):
        return []
    array = np.asarray(entry)
    if array.dtype.kind != "b":
        return [array.astype(np.int64, copy=False)]
    if array.shape != shape[: array.ndim]:
        raise IndexError(f"index: a mask of shape {array.shape} for axes of {shape[: array.ndim]}")
    return list(array.nonzero()) if array.ndim else [np.zeros(int(array), np.int64)]


def _counted_from_the_front(number: Any, axis: int, n: int) -> Any:
    """An integer, or an array of them. Raises: IndexError: one that is out of range."""
    outside = np.asarray((number < -n) | (number >= n))
    if outside.any():
        first = np.asarray(number)[outside].flat[0]
        raise IndexError(f"index {first} is out of range for axis {axis} of size {n}")
    return number % n if n else number


def _rows(place: Place, shape: tuple[int, ...]) -> tuple[_Numbers, tuple[int, ...]]:
    """Numbers of rows of the table, and the axes that they have in the result."""
    rows: Any = np.int64(0)
    for axis, array in place.arrays.items():
        inside = _counted_from_the_front(array, axis, shape[axis])
        try:
            rows = rows * shape[axis] + inside
        except ValueError as error:
            shapes = [a.shape for a in place.arrays.values()]
            raise IndexError(f"index: arrays of shapes {shapes} do not fit together") from error
    return np.ascontiguousarray(rows).reshape(-1), np.shape(rows)


def _table(view: Any, place: Place) -> tuple[Any, tuple[int, ...]]:
    """The view with the axes that arrays pick from in front, and the sizes of the others."""
    others = [i for i in range(view.ndim) if i not in place.arrays]
    moved = view.transpose([*place.arrays, *others])
    return moved, moved.shape[len(place.arrays) :]


def _flat(table: Any, picked: int) -> Any:
    """(rows, width): the table itself where it is contiguous."""
    return table.reshape(math.prod(table.shape[:picked]), math.prod(table.shape[picked:]))


def _values(view: Any, place: Place, value: Any) -> tuple[_Numbers, Any]:
    """Row numbers, and what is to be put into each row: (rows, width), of the view's dtype."""
    rows, own = _rows(place, view.shape)
    _, rest = _table(view, place)
    shape = (*rest[: place.at], *own, *rest[place.at :])
    values = np.broadcast_to(value.astype(view.dtype, copy=False), shape)
    first = list(range(place.at, place.at + len(own)))
    others = [i for i in range(len(shape)) if i not in first]
    return rows, values.transpose([*first, *others]).copy().reshape(rows.size, math.prod(rest))


def _scatter(view: Any, place: Place, rows: _Numbers, values: Any) -> None:
    table, _ = _table(view, place)
    packed = table if table.flags.c_contiguous else table.copy()
    _module(view).scatter_rows(_flat(packed, len(place.arrays)), _there(rows, view), values)
    if packed is not table:
        table[...] = packed


def _there(numbers: _Numbers, like: Any) -> Any:
    return _module(like).to_device(np.ascontiguousarray(numbers, np.int64), like.device)


def _module(array: Any) -> Any:
    return sys.modules[type(array).__module__]
