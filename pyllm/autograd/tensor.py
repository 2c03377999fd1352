"""Tensor: an array, whether it needs a gradient, and the operation that made it.

The tape is the graph itself: every result points to its Node, a Node to the tensors it was made of.
`backward` walks the nodes from the result on, each after all that used its outputs, and lets go of
what a node saved as soon as it is done: the activations of a training step are freed on the way.

A node's backward gets one gradient array for each output (None where nothing arrived) and returns
one for each input (None where none is needed, or where it has written it to the gradient buffer of
the input by itself).
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pyllm.autograd.mode import is_recording

Array: TypeAlias = npt.NDArray[Any]
Backward: TypeAlias = Callable[..., Sequence[Array | None]]


class Node:
    """One recorded operation."""

    __slots__ = ("backward", "inputs", "name", "outputs")

    def __init__(self, name: str, inputs: tuple["Tensor", ...], backward: Backward) -> None:
        self.name = name
        self.inputs = inputs
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

    __slots__ = ("_buffer", "_fresh", "_index", "_node", "data", "grad", "hooks", "requires_grad")
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
        self._buffer, self._fresh, self.grad = buffer, True, None

    def take_buffer(self) -> tuple[Array | None, bool]:
        """(buffer, whether to add to it) for a node that writes the gradient by itself."""
        if self._buffer is None:
            return None, False
        add, self._fresh = not self._fresh, False
        self.grad = Tensor(self._buffer)
        return self._buffer, add

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
    parents = tuple(t for t in inputs if t is not None)
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
    _add(arrived, result, gradient)
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
        for tensor, g in zip(inputs, backward(*gradients), strict=True):
            if g is None or not tensor.requires_grad:
                continue
            if tensor._node is None:
                tensor.accumulate_grad(g)
            else:
                _add(arrived, tensor, g)


def _add(arrived: dict[Node, list[Array | None]], tensor: Tensor, gradient: Array) -> None:
    node = tensor._node
    assert node is not None
    slots = arrived.setdefault(node, [None] * node.outputs)
    before = slots[tensor._index]
    slots[tensor._index] = gradient if before is None else before + gradient


def _order(last: Node) -> list[Node]:
    """The nodes behind `last`, each before all those it was made from."""
    order: list[Node] = []
    seen: set[Node] = {last}
    stack: list[tuple[Node, int]] = [(last, 0)]
    while stack:
        node, index = stack.pop()
        if index < len(node.inputs):
            stack.append((node, index + 1))
            before = node.inputs[index]._node
            if before is not None and before not in seen:
                seen.add(before)
                stack.append((before, 0))
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
