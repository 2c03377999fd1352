"""Function: an operation with a backward of its own.

    class Cube(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx, grad):
            (x,) = ctx.saved_tensors
            return 3 * x**2 * grad

    y = Cube.apply(x)

forward and backward work on tensors without recording, so they may also compute on `.data` with
NumPy, `pyllm.ops` or anything else.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from pyllm.autograd.arrays import Array, cast, zeros
from pyllm.autograd.mode import no_grad
from pyllm.autograd.tape import record
from pyllm.autograd.tensor import Tensor
from pyllm.autograd.version import Saved


class Context:
    """What forward leaves for backward; other attributes may be set at will.

    Attributes:
        needs_input_grad: for each argument whether its gradient is needed.
    """

    def __init__(self, needs_input_grad: tuple[bool, ...]) -> None:
        self.needs_input_grad = needs_input_grad
        self._saved: list[tuple[Tensor | None, Saved | None]] = []
        self._constant: list[Tensor] = []
        self._materialize = True

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep arguments, results or others for `saved_tensors`, watched for in-place changes."""
        self._saved = [(t, None if t is None else Saved(t)) for t in tensors]

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """The tensors (or None) given to `save_for_backward`.

        Raises:
            RuntimeError: one was changed in place since.
        """
        for _, saved in self._saved:
            if saved is not None:
                saved.check("a Function")
        return tuple(t for t, _ in self._saved)

    def mark_non_differentiable(self, *results: Tensor) -> None:
        """Results that need no gradient, such as places of maxima."""
        self._constant = list(results)

    def set_materialize_grads(self, value: bool) -> None:
        """Whether gradients that never arrive are given to backward as zeros (else as None)."""
        self._materialize = value


class Function:
    """Base of custom operations: define `forward` and `backward`, call `apply`."""

    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> Any:
        """The result, or a tuple of results, as tensors."""
        raise NotImplementedError("Function: define forward")

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        """The gradient of each argument (None for those that have none), given each result's."""
        raise NotImplementedError("Function: define backward")

    @classmethod
    def apply(cls, *arguments: Any) -> Any:
        """Run forward, and record backward if a tensor among the arguments needs a gradient.

        Raises:
            TypeError: forward returns something else than tensors, or no argument is a tensor.
        """
        inputs = [a for a in arguments if isinstance(a, Tensor)]
        if not inputs:
            raise TypeError(f"{cls.__name__}: expected a tensor among the arguments")
        ctx = Context(tuple(isinstance(a, Tensor) and a.requires_grad for a in arguments))
        with no_grad():
            made = cls.forward(ctx, *arguments)
        results: tuple[Tensor, ...] = made if isinstance(made, tuple) else (made,)
        if not all(isinstance(r, Tensor) for r in results):
            raise TypeError(f"{cls.__name__}.forward: expected tensors, got {_types(results)}")
        layout = [(r.shape, r.dtype) for r in results]
        wanted = [(a.shape, a.dtype) if isinstance(a, Tensor) else None for a in arguments]

        def backward(*gradients: Array | None) -> list[Array | None]:
            given = [
                zeros(*like) if g is None and ctx._materialize else g
                for g, like in zip(gradients, layout, strict=True)
            ]
            with no_grad():
                back = cls.backward(ctx, *(None if g is None else Tensor(g) for g in given))
            returned = back if isinstance(back, tuple) else (back,)
            return _checked(cls.__name__, returned, wanted)

        recorded = record(cls.__name__, tuple(r.data for r in results), inputs, backward)
        constant = {id(r) for r in ctx._constant}
        for own, result in zip(recorded, results, strict=True):
            own._version, own._seen = result.version, result._seen
            if id(result) in constant:
                own.requires_grad, own._node = False, None
        return recorded if isinstance(made, tuple) else recorded[0]


def _checked(
    name: str, returned: Sequence[Any], wanted: Sequence[tuple[tuple[int, ...], Any] | None]
) -> list[Array | None]:
    """The arrays of the gradients for the arguments that are tensors."""
    if len(returned) != len(wanted):
        raise RuntimeError(
            f"{name}.backward: expected {len(wanted)} gradients, one an argument, "
            f"got {len(returned)}"
        )
    arrays: list[Array | None] = []
    for number, (g, like) in enumerate(zip(returned, wanted, strict=True)):
        if like is None:
            if g is not None:
                raise RuntimeError(f"{name}.backward: argument {number} is no tensor, return None")
            continue
        if g is None:
            arrays.append(None)
            continue
        array, (shape, dtype) = np.asarray(g), like
        if array.shape != shape:
            raise RuntimeError(
                f"{name}.backward: gradient {number} has shape {array.shape}, expected {shape}"
            )
        arrays.append(cast(array, dtype))
    return arrays


def _types(values: Sequence[Any]) -> str:
    return ", ".join(type(v).__name__ for v in values)
