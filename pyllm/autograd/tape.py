"""The tape: what operation made a tensor, and the walk back through all of them.

The tape is the graph itself: every result points to its Node, a Node to the nodes (and leaves) it
was made of. It does not hold their arrays: only what a backward function names stays alive.
`run_backward` walks the nodes from the result on, each after all that used its outputs, and lets go
of what a node saved as soon as it is done: the activations of a training step are freed on the way.

A node's backward gets one gradient array for each output (None where nothing arrived) and returns
one for each input (None where none is needed, or where it has written it to the gradient buffer of
the input by itself).
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from pyllm.autograd.arrays import Array, evaluate
from pyllm.autograd.mode import is_recording
from pyllm.autograd.version import Saved, check_histories

if TYPE_CHECKING:
    from pyllm.autograd.variable import Variable

Backward: TypeAlias = Callable[..., Sequence[Array | None]]
Hook: TypeAlias = Callable[[Array], Array | None]


class Node:
    """One recorded operation.

    Attributes:
        inputs: for each input the (node, output number) it comes from, the leaf it is, or None
            where it needs no gradient.
        hooks: for each output the functions that see, and may replace, its gradient.
        saved: versions of the values that backward reads.
    """

    __slots__ = ("backward", "hooks", "inputs", "name", "saved")

    def __init__(self, name: str, inputs: Sequence["Variable"], backward: Backward) -> None:
        self.name = name
        self.inputs: tuple[tuple[Node, int] | Variable | None, ...] = tuple(
            None if not t.requires_grad else (t._node, t._index) if t._node else t for t in inputs
        )
        self.backward: Backward | None = backward
        self.hooks: list[list[Hook]] = []
        self.saved: list[Saved] = []

    def release(self) -> None:
        self.backward, self.inputs, self.saved = None, (), []


def record(
    name: str,
    data: Array | Sequence[Array],
    inputs: Sequence["Variable | None"],
    backward: Backward,
    *,
    saved: Sequence["Variable | Saved | None"] = (),
    saved_results: Sequence[int] = (),
    view_of: "Variable | None" = None,
) -> Any:
    """Tensor(s) of one operation, on the tape if an input needs a gradient.

    Args:
        name: for messages.
        data: the result, or a tuple of results.
        inputs: the tensors it depends on, at least one; None is passed over.
        backward: from the gradients of the results to those of the inputs.
        saved: tensors whose present values backward reads, or versions noted before.
        saved_results: numbers of the results whose values backward reads.
        view_of: the tensor whose memory the results share.

    Raises:
        RuntimeError: an input was changed in place through another tensor, see Version.
    """
    parents = [t for t in inputs if t is not None]
    needed = False
    for t in parents:
        needed = needed or t.requires_grad
    many = isinstance(data, tuple)
    arrays: Any = data if many else (data,)
    if not needed and not many and view_of is None:  # nothing to keep
        if is_recording():
            check_histories(parents)
        return parents[0]._make(arrays[0])
    results = [parents[0]._make(array) for array in arrays]
    if view_of is not None:
        view_of.version.of_leaf |= view_of.requires_grad and view_of._node is None
        for result in results:
            result._version, result._seen = view_of.version, view_of._seen
    if not is_recording():
        return tuple(results) if many else results[0]
    check_histories(parents)
    if needed:
        node = Node(name, parents, backward)
        node.hooks = [result.hooks for result in results]
        node.saved = [t if isinstance(t, Saved) else Saved(t) for t in saved if t is not None]
        node.saved += [Saved(results[number]) for number in saved_results]
        for index, result in enumerate(results):
            result.requires_grad, result._node, result._index = True, node, index
    return tuple(results) if many else results[0]


def run_backward(result: "Variable", gradient: Array) -> None:
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
        saved = node.saved
        node.release()
        if gradients is None:
            continue
        for value in saved:
            value.check(node.name)
        for index, hooks in enumerate(node.hooks):
            g = gradients[index]
            if hooks and g is not None:
                gradients[index] = run_hooks(hooks, g)
        for source, g in zip(inputs, backward(*gradients), strict=True):
            if g is None or source is None:
                continue
            if isinstance(source, tuple):
                _add(arrived, *source, g)
            else:
                source.accumulate_grad(g)


def run_hooks(hooks: Sequence[Hook], gradient: Array) -> Array:
    """The gradient after each hook in turn has seen it."""
    for hook in hooks:
        changed = hook(gradient)
        gradient = gradient if changed is None else changed
    return gradient


def _add(arrived: dict[Node, list[Array | None]], node: Node, index: int, gradient: Array) -> None:
    slots = arrived.setdefault(node, [None] * len(node.hooks))
    before = slots[index]
    slots[index] = gradient if before is None else evaluate(np.add, before, gradient)


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
