"""reshape, transpose, permute, expand, squeeze, ...: the same elements, seen another way.

Results share memory with the tensor wherever NumPy can describe them by strides. The gradient is
seen the opposite way; that of expand is summed.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pyllm.autograd.arrays import axes_of, axis_of, copy, fit, is_reshaped_view
from pyllm.autograd.tape import record
from pyllm.autograd.variable import Variable

if TYPE_CHECKING:
    from pyllm.autograd.tensor import Tensor


class Shaping(Variable):
    """Views."""

    __slots__ = ()

    def reshape(self, *shape: int | Sequence[int]) -> "Tensor":
        """The elements in row-major order in another shape; one size may be -1.

        Raises:
            ValueError: the sizes do not fit.
        """
        before, data = self.shape, self.data.reshape(_sizes(shape))
        return record(
            "reshape",
            data,
            (self,),
            lambda g: (g.reshape(before),),
            view_of=self if is_reshaped_view(data, self.data) else None,
        )

    def flatten(self, start: int = 0, end: int = -1) -> "Tensor":
        """Axes start to end (both included) as one."""
        if not self.ndim:
            return self.reshape(1)
        first, last = axis_of(start, self.ndim, "start"), axis_of(end, self.ndim, "end")
        if first > last:
            raise ValueError(f"start: expected an axis not after end, got {start} and {end}")
        joined = int(np.prod(self.shape[first : last + 1]))
        return self.reshape(*self.shape[:first], joined, *self.shape[last + 1 :])

    def permute(self, *axes: int | Sequence[int]) -> "Tensor":
        """Axes in another order.

        Raises:
            ValueError: `axes` does not name each axis once.
        """
        given = _sizes(axes)
        order = [axis_of(axis, self.ndim, "axes") for axis in given]
        if sorted(order) != list(range(self.ndim)):
            raise ValueError(f"axes: expected each of {self.ndim} axes once, got {given}")
        back = np.argsort(order)
        return record(
            "permute",
            self.data.transpose(order),
            (self,),
            lambda g: (g.transpose(back),),
            view_of=self,
        )

    def transpose(self, axis0: int, axis1: int) -> "Tensor":
        """Two axes swapped."""
        order = list(range(self.ndim))
        one, two = axis_of(axis0, self.ndim, "axis0"), axis_of(axis1, self.ndim, "axis1")
        order[one], order[two] = two, one
        return self.permute(order)

    swapaxes = transpose

    @property
    def T(self) -> "Tensor":
        """All axes in the opposite order."""
        return self.permute(range(self.ndim)[::-1])

    def expand(self, *shape: int | Sequence[int]) -> "Tensor":
        """Axes of size 1 repeated, and new ones in front, without a copy; -1 leaves an axis.

        Raises:
            ValueError: the shape does not fit.
        """
        sizes, before = list(_sizes(shape)), self.shape
        lead = len(sizes) - self.ndim
        for i, n in enumerate(sizes):
            if n == -1 and i >= lead:
                sizes[i] = before[i - lead]
        data = np.broadcast_to(self.data, sizes)
        dtype = self.dtype
        return record("expand", data, (self,), lambda g: (fit(g, before, dtype),), view_of=self)

    broadcast_to = expand

    def squeeze(self, axis: int | Sequence[int] | None = None) -> "Tensor":
        """Without axes of size 1: all of them, or those given if their size is 1."""
        axes = axes_of(axis, self.ndim)
        return self.reshape([n for i, n in enumerate(self.shape) if n != 1 or i not in axes])

    def unsqueeze(self, axis: int) -> "Tensor":
        """With a new axis of size 1 at `axis`."""
        place = axis_of(axis, self.ndim + 1)
        return self.reshape(*self.shape[:place], 1, *self.shape[place:])

    def contiguous(self) -> "Tensor":
        """Elements in row-major order in memory; the tensor itself if they are."""
        if self.data.flags.c_contiguous:
            return self  # type: ignore[return-value]
        return record("contiguous", copy(self.data), (self,), lambda g: (g,))


def _sizes(given: Sequence[int | Sequence[int]]) -> tuple[int, ...]:
    """Sizes given one by one or as one sequence."""
    if len(given) == 1 and not isinstance(given[0], int | np.integer):
        return tuple(given[0])
    return tuple(given)  # type: ignore[arg-type]
