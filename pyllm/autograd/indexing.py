"""x[index]: integers, slices, None, ..., integer arrays and boolean masks, as NumPy has it.

An index that is on a device is copied to the CPU, to be checked there, which waits for it.

What slices and integers pick is a view; its gradient is zeros with g in that place. What arrays
pick is a copy; its gradient adds each row of g to where it came from, one after the other in the
order of the index: the same bits in every run, also where an index repeats itself.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from pyllm import ops
from pyllm.autograd.arrays import FLOAT32, Array, as_array, cast, empty, is_float, zeros
from pyllm.autograd.tape import record
from pyllm.autograd.variable import Variable
from pyllm.device_array import is_on_device

if TYPE_CHECKING:
    from pyllm.autograd.tensor import Tensor


class Indexing(Variable):
    """Parts of a tensor."""

    __slots__ = ()

    def __getitem__(self, index: Any) -> "Tensor":
        """Raises: IndexError, as NumPy."""
        place = plain_index(index)
        picked = as_array(self.data[place])
        shape, dtype = self.shape, self.dtype
        return record(
            "getitem",
            picked,
            (self,),
            lambda g: (scatter(g, place, shape, dtype),),
            view_of=self if is_view(place) else None,
        )


def plain_index(index: Any) -> tuple[Any, ...]:
    """The index with arrays in the place of tensors and lists, and a closing `...` for views.

    Raises:
        IndexError: an entry that is no index.
    """
    entries = index if isinstance(index, tuple) else (index,)
    place = tuple(_entry(one) for one in entries)
    return place if any(one is Ellipsis for one in place) else (*place, Ellipsis)


def _entry(one: Any) -> Any:
    if one is None or one is Ellipsis or isinstance(one, slice):
        return one
    if isinstance(one, int | np.integer) and not isinstance(one, bool):
        return one
    is_ours = isinstance(one, Variable) or is_on_device(one)
    array = one.numpy() if is_ours else np.asarray(one)
    if array.size == 0 and not isinstance(one, np.ndarray | Variable):
        array = array.astype(np.int64)  # an empty list
    if array.dtype.kind not in "biu":
        raise IndexError(f"index: expected integers, slices or booleans, got {array.dtype}")
    return array


def is_view(place: tuple[Any, ...]) -> bool:
    """Whether a plain index picks without arrays."""
    return not any(isinstance(one, np.ndarray) for one in place)


def scatter(g: Array, place: tuple[Any, ...], shape: tuple[int, ...], dtype: Any) -> Array:
    """Zeros of `shape` with g added at `place`."""
    if is_on_device(g):
        there: Any = zeros(shape, dtype, g)
        there.put_sums(place, g)
        return there
    arrays = [one for one in place if isinstance(one, np.ndarray)]
    if all(one.dtype.kind == "b" for one in arrays):  # no element is picked twice
        made = zeros(shape, dtype, g)
        made[place] = g
        return made
    wide = FLOAT32 if is_float(dtype) and dtype.itemsize == 2 else dtype
    if len(place) == 2 and place[1] is Ellipsis and len(shape) > 1 and arrays[0].size:
        rows = np.where(arrays[0] < 0, arrays[0] + shape[0], arrays[0]).astype(np.int64)
        width = int(np.prod(shape[1:]))
        made = empty((shape[0], width), wide)
        ops.embedding_backward(g.reshape(*rows.shape, width), rows, shape[0], out=made)
        return cast(made.reshape(shape), dtype)
    made = zeros(shape, wide)
    np.add.at(made, place, g)
    return cast(made, dtype)
