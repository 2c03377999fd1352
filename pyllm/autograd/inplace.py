"""x += y, x[i] = y, x.copy_(y): changes of the tensor's own memory.

The tensor takes over the history of the changed value. Its Version counts the change, so that a
backward that needs the old value fails with a RuntimeError instead of giving a wrong gradient. A
leaf that requires a gradient can only be changed within `no_grad`.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from pyllm.autograd.arithmetic import Arithmetic
from pyllm.autograd.arrays import Array, as_array, copy, fit, is_float
from pyllm.autograd.indexing import Indexing, plain_index
from pyllm.autograd.mode import is_recording
from pyllm.autograd.tape import record
from pyllm.autograd.variable import Operand, Variable
from pyllm.autograd.version import check_histories

if TYPE_CHECKING:
    from pyllm.autograd.tensor import Tensor


class InPlace(Arithmetic, Indexing):
    """Operators that write into the tensor itself.

    Raises:
        RuntimeError: a leaf that requires a gradient, outside `no_grad`.
        TypeError: a fraction is to be written into integers.
        ValueError: the value has another shape than the tensor (or part of it) and does not
            broadcast to it, or the memory is read-only.
    """

    __slots__ = ()

    def __iadd__(self, other: Operand) -> "Tensor":
        return self._replace(self._writable() + other)

    def __isub__(self, other: Operand) -> "Tensor":
        return self._replace(self._writable() - other)

    def __imul__(self, other: Operand) -> "Tensor":
        factor, before = self._operand(other), self._writable()
        if is_recording() and factor.requires_grad:
            before = self._make(copy(self.data))  # which its gradient needs
            before.requires_grad, before._node, before._index = (
                self.requires_grad,
                self._node,
                self._index,
            )
        return self._replace(before * factor)

    def __itruediv__(self, other: Operand) -> "Tensor":
        return self._replace(self._writable() / other)

    def copy_(self, other: Operand) -> "Tensor":
        """Overwrite all elements; `other` is broadcast."""
        self[...] = other
        return self  # type: ignore[return-value]

    def __setitem__(self, index: Any, value: Operand) -> None:
        """Overwrite what the index picks; the value is broadcast.

        Raises:
            ValueError: also when an integer array names a place twice and the value needs a
                gradient: which of the two stays is not defined.
        """
        place = plain_index(index)
        self._writable()
        given = self._operand(value)
        _require_kind(given.dtype, self.dtype)
        if is_recording() and given.requires_grad and _repeats(place, self.shape):
            raise ValueError("index: names a place twice, which leaves its gradient undefined")
        if self._made_last_write(given) and _is_same(self.data[place], given.data):
            self._seen += 1  # the second half of `x[i] += y`, which `given` has written already
        else:
            if is_recording():
                check_histories((self, given))
            self.data[place] = given.data
        shape, dtype = given.shape, given.dtype

        def backward(g: Array) -> tuple[Array, Array]:
            rest = copy(g)
            rest[place] = 0
            return rest, fit(as_array(g[place]), shape, dtype)

        self._take_over(record("setitem", self.data, (self, given), backward))

    def _writable(self) -> "Tensor":
        if is_recording() and self.requires_grad and (self._node is None or self.version.of_leaf):
            raise RuntimeError(
                "a leaf that requires a gradient cannot be changed in place, nor through a view; "
                "do so within no_grad()"
            )
        return self  # type: ignore[return-value]

    def _replace(self, result: "Tensor") -> "Tensor":
        """Write a result computed from this tensor into it."""
        if result.shape != self.shape:
            raise ValueError(
                f"in place: expected a result of shape {self.shape}, got {result.shape}"
            )
        _require_kind(result.dtype, self.dtype)
        if result.dtype != self.dtype:
            result = result.astype(self.dtype)
        np.copyto(self.data, result.data)
        self._take_over(result)
        return self  # type: ignore[return-value]

    def _made_last_write(self, other: Variable) -> bool:
        """Whether `other` made the only recorded change that this tensor has not seen."""
        version = self.version
        return (
            version.writer is not None
            and version.writer() is other
            and other._version is version
            and self._seen == version.writes - 1
        )

    def _take_over(self, result: Variable) -> None:
        """Count a change, and take the history of `result` for the tensor's own."""
        self.version.bump()
        if result.requires_grad:
            self.version.write(self)
            self.requires_grad = True
            self._node, self._index, self.hooks = result._node, result._index, result.hooks


def _require_kind(given: np.dtype[Any], own: np.dtype[Any]) -> None:
    if is_float(given) and not is_float(own):
        raise TypeError(f"in place: {given} does not fit into {own}")


def _is_same(one: Any, two: Array) -> bool:
    """Whether both are the same view."""
    return (
        isinstance(one, np.ndarray)
        and one.ctypes.data == two.ctypes.data
        and (one.shape, one.strides, one.dtype) == (two.shape, two.strides, two.dtype)
    )


def _repeats(place: tuple[Any, ...], shape: tuple[int, ...]) -> bool:
    """Whether an index names an element twice."""
    if not any(isinstance(one, np.ndarray) and one.dtype.kind != "b" for one in place):
        return False
    numbers = np.arange(int(np.prod(shape))).reshape(shape)[place]
    return np.unique(numbers).size != numbers.size
