"""Variable: an array, whether it needs a gradient, what made it, and where its gradient goes.

The base of Tensor, which adds the operators.
"""

import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, Union

import numpy as np
import numpy.typing as npt

from pyllm import cuda
from pyllm.autograd.arrays import Array, as_array, beside, evaluate, is_float, weak_scalar
from pyllm.autograd.recipe import Recipe
from pyllm.autograd.tape import Hook, Node, record, run_backward, run_hooks
from pyllm.autograd.version import Version
from pyllm.device_array import is_on_device

if TYPE_CHECKING:
    from pyllm.autograd.tensor import Tensor

Operand: TypeAlias = Union["Variable", Array, np.generic, complex, Sequence[Any]]


class Reservation:
    """A gradient that waits in a parameter's buffer, or in `array` if it had to move."""

    __slots__ = ("__weakref__", "array", "moved")

    def __init__(self, array: Array) -> None:
        self.array = array
        self.moved = False


class Variable:
    """An array that can be differentiated; see Tensor.

    Args:
        data: a NumPy array (not copied), or what NumPy makes one of.
        requires_grad: whether `backward` leaves a gradient in `.grad`.

    Raises:
        TypeError: data that are no real numbers, or requires_grad with integers.
    """

    __slots__ = (
        "__weakref__",
        "_buffer",
        "_fresh",
        "_index",
        "_node",
        "_recipe",
        "_reservation",
        "_seen",
        "_version",
        "data",
        "grad",
        "hooks",
        "requires_grad",
    )
    __array_ufunc__ = None  # array + tensor is ours, not NumPy's

    def __init__(self, data: npt.ArrayLike, requires_grad: bool = False) -> None:
        self.data: Array = as_array(data)
        dtype = self.data.dtype
        if dtype.kind not in "fiub" and not is_float(dtype):
            raise TypeError(f"data: expected real numbers, got dtype {dtype}")
        if requires_grad and not is_float(dtype):
            raise TypeError(f"requires_grad: {dtype} has no gradient")
        self.requires_grad = requires_grad
        self.grad: Tensor | None = None
        self.hooks: list[Hook] = []
        self._node: Node | None = None
        self._index = 0
        self._recipe: Recipe | None = None
        self._buffer: Array | None = None
        self._fresh = True  # the buffer's content is of an earlier step
        self._reservation: weakref.ref[Reservation] | None = None
        self._version: Version | None = None  # until something depends on it
        self._seen = 0  # recorded changes of the memory that the history tells of

    def _make(self, data: Array) -> "Tensor":
        """A tensor of `data` without history."""
        raise NotImplementedError

    def _operand(self, other: Operand) -> "Variable":
        """`other` as the second operand of an operation with this tensor."""
        if isinstance(other, Variable):
            return other
        if isinstance(other, bool | int | float | np.generic):
            return self._make(weak_scalar(other, self.dtype))
        return self._make(as_array(other))

    @property
    def version(self) -> Version:
        """Counts in-place changes of the memory."""
        if self._version is None:
            self._version = Version(of_leaf=self.requires_grad and self._node is None)
        return self._version

    def mark_changed(self) -> None:
        """Count a change of `.data` that was made behind the tensor's back, as optimizers do."""
        if self._version is not None:
            self._version.bump()

    @property
    def shape(self) -> tuple[int, ...]:
        return self.data.shape

    @property
    def ndim(self) -> int:
        return self.data.ndim

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.data.dtype

    @property
    def size(self) -> int:
        return self.data.size

    @property
    def device(self) -> str:
        """ "cpu", or "cuda:" and the device's number."""
        return cuda.device_of(self.data)

    def to(self, device: str) -> "Tensor":
        """On "cpu", "cuda" or "cuda:N"; itself if it is there. The gradient moves back.

        Raises:
            ValueError: no such name.
            RuntimeError: there is no such device, or pyllm was built without CUDA.
            MemoryError: the device's memory does not suffice.
        """
        moved, before = cuda.move(self.data, device), self.device
        if moved is self.data:
            return self  # type: ignore[return-value]
        return record("to", moved, (self,), lambda g: (cuda.move(g, before),))

    def cuda(self) -> "Tensor":
        return self.to("cuda")

    def cpu(self) -> "Tensor":
        return self.to("cpu")

    def numpy(self) -> Array:
        """The array itself, or a copy on the CPU of one that is on a device."""
        data: Any = self.data
        return data.numpy() if is_on_device(data) else data

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> Array:
        array = self.numpy()
        return np.array(array, dtype) if copy else np.asarray(array, dtype)

    def item(self) -> Any:
        """The only element, as a Python number.

        Raises:
            ValueError: there are more, or none.
        """
        if self.size != 1:
            raise ValueError(f"item: expected one element, got shape {self.shape}")
        value = self.data.item()
        return value if self.dtype.kind in "biu" else float(value)

    def detach(self) -> "Tensor":
        """The same array without its history."""
        result = self._make(self.data)
        result._version = self.version.detached()
        return result

    def backward(self, gradient: npt.ArrayLike | None = None) -> None:
        """Add d self / d leaf to the `.grad` of every leaf that needs one.

        Args:
            gradient: what arrives at self; 1 by default, for a single element.

        Raises:
            RuntimeError: no operation was recorded, or backward went through here before.
            ValueError: a gradient of another shape, or none for more than one element.
        """
        if not self.requires_grad:
            raise RuntimeError("backward: this tensor needs no gradient; was it made in no_grad?")
        if gradient is None:
            if self.size != 1:
                raise ValueError(f"gradient: needed for a result of shape {self.shape}")
            gradient = np.ones(self.shape, self.dtype)
        given = gradient.data if isinstance(gradient, Variable) else gradient
        start = as_array(given).astype(self.dtype, copy=False)
        start = beside(start, self.data)
        if start.shape != self.shape:
            raise ValueError(f"gradient: expected shape {self.shape}, got {start.shape}")
        run_backward(self, start)

    def accumulate_grad(self, gradient: Array) -> None:
        """Add to `.grad` (a leaf's part of backward)."""
        gradient = run_hooks(self.hooks, gradient)
        buffer, add = self.take_buffer()
        if buffer is not None:
            if add:
                evaluate(np.add, buffer, gradient, out=buffer)
            else:
                np.copyto(buffer, gradient, casting="same_kind")
        elif self.grad is None:
            self.grad = self._make(gradient)
        else:
            self.grad = self._make(evaluate(np.add, self.grad.data, gradient))

    def set_grad_buffer(self, buffer: Array) -> None:
        """Let gradients be written into `buffer`: the first one after `zero_grad` overwrites it."""
        if buffer.shape != self.shape:
            raise ValueError(f"buffer: expected shape {self.shape}, got {buffer.shape}")
        self._evict()
        self._buffer, self._fresh, self.grad = buffer, True, None

    def take_buffer(self) -> tuple[Array | None, bool]:
        """(buffer, whether to add to it) for a node that writes the gradient by itself."""
        if self._buffer is None:
            return None, False
        self._evict()
        add, self._fresh = not self._fresh, False
        self.grad = self._make(self._buffer)
        return self._buffer, add

    def reserve_buffer(self) -> "Reservation | None":
        """The buffer for an op that computes the gradient along with its result; None if taken.

        The op keeps the reservation in its backward, which calls `claim_buffer`. Should another
        gradient come first, the reserved content moves out of its way.
        """
        if self._buffer is None or not self._fresh or self.hooks:
            return None
        if self._reservation is not None and self._reservation() is not None:
            return None
        reservation = Reservation(self._buffer)
        self._reservation = weakref.ref(reservation)
        return reservation

    def claim_buffer(self, reservation: "Reservation") -> Array | None:
        """Make the reserved content the gradient; or hand it back, if it had to move."""
        if reservation.moved:
            return reservation.array
        self._reservation, self._fresh = None, False
        self.grad = self._make(reservation.array)
        return None

    def _evict(self) -> None:
        reservation = self._reservation() if self._reservation is not None else None
        if reservation is not None:
            reservation.array, reservation.moved = reservation.array.copy(), True
        self._reservation = None

    def zero_grad(self) -> None:
        """Forget the gradient."""
        self.grad, self._fresh = None, True

    def __len__(self) -> int:
        if not self.ndim:
            raise TypeError("a tensor without axes has no length")
        return self.shape[0]

    def __bool__(self) -> bool:
        if self.size != 1:
            raise ValueError(f"a tensor of shape {self.shape} is neither true nor false")
        return bool(self.data.item())

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __repr__(self) -> str:
        history = f", from {self._node.name}" if self._node else ""
        return f"Tensor({self.data!r}{history})"
