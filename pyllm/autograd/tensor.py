"""Tensor: an array, whether it needs a gradient, and the operation that made it.

The tape is the graph itself: every result points to its Node, a Node to the nodes (and leaves) it
was made of. It does not hold their arrays: only what a backward function names stays alive.
`backward` walks the nodes from the result on, each after all that used its outputs, and lets go of
what a node saved as soon as it is done: the activations of a training step are freed on the way.

A node's backward gets one gradient array for each output (None where nothing arrived) and returns
one for each input (None where none is needed, or where it has written it to the gradient buffer of
the input by itself).
"""

import weakref
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pyllm.autograd.mode import is_recording

Array: TypeAlias = npt.NDArray[Any]
Backward: TypeAlias = Callable[..., Sequence[Array | None]]


class Reservation:
    """A gradient that waits in a parameter's buffer, or in `array` if it had to move."""

    __slots__ = ("__weakref__", "array", "moved")

    def __init__(self, array: Array) -> None:
        self.array = array
        self.moved = False


class Node:
    """One recorded operation.

    Attributes:
        inputs: for each input the (node, output number) it comes from, the leaf it is, or None
            where it needs no gradient.
    """

    __slots__ = ("backward", "inputs", "name", "outputs")

    def __init__(self, name: str, inputs: Sequence["Tensor"], backward: Backward) -> None:
        self.name = name
        self.inputs: tuple[tuple[Node, int] | Tensor | None, ...] = tuple(
            None if not t.requires_grad else (t._node, t._index) if t._node else t for t in inputs
        )
        self.backward: Backward | None = backward
        self.outputs = 0

    def release(self) -> None:
        self.backward, self.inputs = None, ()


class Tensor:
    """An array that can be differentiated.

    Args:
        data: a NumPy array (not copied), or what NumPy makes one of.
        requires_grad: whether `backward` leaves a gradient in `.grad`.

    Raises:
        TypeError: requires_grad with integers.
    """

    __slots__ = (
        "_buffer",
        "_fresh",
        "_index",
        "_node",
        "_reservation",
        "data",
        "grad",
        "hooks",
        "requires_grad",
    )
    __array_priority__ = 1000  # NumPy leaves array + tensor to us

    def __init__(self, data: npt.ArrayLike, requires_grad: bool = False) -> None:
        self.data: Array = data if isinstance(data, np.ndarray) else np.asarray(data)
        if requires_grad and self.data.dtype.kind in "biu":
            raise TypeError(f"requires_grad: {self.data.dtype} has no gradient")
        self.requires_grad = requires_grad
        self.grad: Tensor | None = None
        self.hooks: list[Callable[[Array], Array | None]] = []
        self._node: Node | None = None
        self._index = 0
        self._buffer: Array | None = None
        self._fresh = True  # the buffer's content is of an earlier step
        self._reservation: weakref.ref[Reservation] | None = None

    shape = property(lambda self: self.data.shape)
    ndim = property(lambda self: self.data.ndim)
    dtype = property(lambda self: self.data.dtype)
    size = property(lambda self: self.data.size)

    def numpy(self) -> Array:
        """The array itself."""
        return self.data

    def item(self) -> float:
        """The only element."""
        return float(self.data.item())

    def detach(self) -> "Tensor":
        """The same array without its history."""
        return Tensor(self.data)

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
        start = np.asarray(gradient, self.dtype)
        if start.shape != self.shape:
            raise ValueError(f"gradient: expected shape {self.shape}, got {start.shape}")
        run_backward(self, start)

    def accumulate_grad(self, gradient: Array) -> None:
        """Add to `.grad` (a leaf's part of backward)."""
        for hook in self.hooks:
            changed = hook(gradient)
            gradient = gradient if changed is None else changed
        buffer, add = self.take_buffer()
        if buffer is not None:
            if add:
                np.add(buffer, gradient, out=buffer, casting="same_kind")
            else:
                np.copyto(buffer, gradient, casting="same_kind")
        elif self.grad is None:
            self.grad = Tensor(gradient)
        else:
            self.grad = Tensor(self.grad.data + gradient)

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
        self.grad = Tensor(self._buffer)
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
        self.grad = Tensor(reservation.array)
        return None

    def _evict(self) -> None:
        reservation = self._reservation() if self._reservation is not None else None
        if reservation is not None:
            reservation.array, reservation.moved = reservation.array.copy(), True
        self._reservation = None

    def zero_grad(self) -> None:
        """Forget the gradient."""
        self.grad, self._fresh = None, True

    def reshape(self, *shape: int) -> "Tensor":
        before = self.shape
        return record("reshape", self.data.reshape(*shape), (self,), lambda g: (g.reshape(before),))

    def __add__(self, other: "Tensor") -> "Tensor":
        one, two = self.shape, other.shape
        return record(
            "add",
            self.data + other.data,
            (self, other),
            lambda g: (unbroadcast(g, one), unbroadcast(g, two)),
        )

    def __mul__(self, factor: float) -> "Tensor":
        scale = self.dtype.type(factor)
        return record("scale", np.asarray(self.data * scale), (self,), lambda g: (g * scale,))

    def __truediv__(self, divisor: float) -> "Tensor":
        return self * (1.0 / divisor)

    def __repr__(self) -> str:
        history = f", from {self._node.name}" if self._node else ""
        return f"Tensor({self.data!r}{history})"


def record(
    name: str,
    data: Array | Sequence[Array],
    inputs: Sequence[Tensor | None],
    backward: Backward,
) -> Any:
    """Tensor(s) of one operation, on the tape if an input needs a gradient."""
    parents = [t for t in inputs if t is not None]
    many = isinstance(data, tuple)
    results = [Tensor(array) for array in (data if many else (data,))]
    if is_recording() and any(t.requires_grad for t in parents):
        node = Node(name, parents, backward)
        node.outputs = len(results)
        for index, result in enumerate(results):
            result.requires_grad, result._node, result._index = True, node, index
    return tuple(results) if many else results[0]


def run_backward(result: Tensor, gradient: Array) -> None:
    """Walk the graph behind `result`."""
    if result._node is None:
        result.accumulate_grad(gradient)
        return
    arrived: dict[Node, list[Array | None]] = {}
    _add(arrived, result._node, result._index, gradient)
    for node in _order(result._node):
        gradients = arrived.pop(node, None)
        inputs, backward = node.inputs, node.backward
        if backward is None:
            raise RuntimeError(
                f"backward: {node.name} has been gone through before, its saved values are freed; "
                "compute the result anew for a second backward"
            )
        node.release()
        if gradients is None:
            continue
        for source, g in zip(inputs, backward(*gradients), strict=True):
            if g is None or source is None:
                continue
            if isinstance(source, Tensor):
                source.accumulate_grad(g)
            else:
                _add(arrived, *source, g)


def _add(arrived: dict[Node, list[Array | None]], node: Node, index: int, gradient: Array) -> None:
    slots = arrived.setdefault(node, [None] * node.outputs)
    before = slots[index]
    slots[index] = gradient if before is None else before + gradient


def _order(last: Node) -> list[Node]:
    """The nodes behind `last`, each before all those it was made from."""
    order: list[Node] = []
    seen: set[Node] = {last}
    stack: list[tuple[Node, int]] = [(last, 0)]
    while stack:
        node, index = stack.pop()
        if index < len(node.inputs):
            stack.append((node, index + 1))
            source = node.inputs[index]
            if isinstance(source, tuple) and source[0] not in seen:
                seen.add(source[0])
                stack.append((source[0], 0))
        else:
            order.append(node)
    order.reverse()
    return order


def unbroadcast(gradient: Array, shape: tuple[int, ...]) -> Array:
    """Sum a gradient over the axes along which `shape` was broadcast."""
    if gradient.shape == shape:
        return gradient
    lead = gradient.ndim - len(shape)
    axes = tuple(range(lead)) + tuple(
        lead + i for i, n in enumerate(shape) if n == 1 and gradient.shape[lead + i] != 1
    )
    return gradient.sum(axis=axes, keepdims=False).reshape(shape)
