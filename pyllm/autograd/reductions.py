"""sum, mean, var, std, max, min, argmax, argmin over axes.

    sum: dx = g;   mean: dx = g / n;   var: dx = 2 g (x - mean) / (n - correction)
    max, min: g is split evenly among the elements that equal the result

g is spread over the axes that were reduced. 16-bit sums are accumulated in float32.
"""

from collections.abc import Callable, Sequence
from math import prod
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from pyllm.autograd.arrays import (
    FLOAT32,
    Array,
    add_up,
    as_array,
    axes_of,
    axis_of,
    cast,
    compare,
    copy,
    evaluate,
    extremum,
    is_float,
    widen,
)
from pyllm.autograd.tape import record
from pyllm.autograd.variable import Variable

if TYPE_CHECKING:
    from pyllm.autograd.tensor import Tensor

Axes: TypeAlias = int | Sequence[int] | None


class Reductions(Variable):
    """Functions over axes: all of them, one or several; `keepdims` leaves them as size 1."""

    __slots__ = ()

    def sum(self, axis: Axes = None, keepdims: bool = False) -> "Tensor":
        """Sum; of integers and booleans int64."""
        axes, shape = axes_of(axis, self.ndim), self.shape
        y = add_up(self.data, axes, keepdims)
        if is_float(self.dtype):
            y = cast(y, self.dtype)
        return record("sum", y, (self,), lambda g: (copy(_spread(g, shape, axes)),))

    def mean(self, axis: Axes = None, keepdims: bool = False) -> "Tensor":
        """Mean; of integers float32, of no elements NaN."""
        axes, shape = axes_of(axis, self.ndim), self.shape
        count = prod(shape[i] for i in axes)
        x = self.data if is_float(self.dtype) else cast(self.data, FLOAT32)
        y = cast(_divided(add_up(x, axes, keepdims), count), x.dtype)
        return record(
            "mean", y, (self,), lambda g: (copy(_spread(_divided(g, count), shape, axes)),)
        )

    def var(self, axis: Axes = None, *, correction: int = 1, keepdims: bool = False) -> "Tensor":
        """Sum of squared distances from the mean over (n - correction); NaN if that is 0."""
        axes = axes_of(axis, self.ndim)
        wide = widen(self.data)
        if not is_float(wide.dtype):
            wide = cast(wide, FLOAT32)
        count = prod(self.shape[i] for i in axes)
        mean = _divided(add_up(wide, axes, keepdims=True), count)
        from_mean = evaluate(np.subtract, wide, mean)
        degrees = max(count - correction, 0)
        y = _divided(add_up(evaluate(np.multiply, from_mean, from_mean), axes, keepdims), degrees)
        dtype = self.dtype if is_float(self.dtype) else FLOAT32

        def backward(g: Array) -> tuple[Array]:
            scale = _divided(_spread(2 * widen(g), from_mean.shape, axes), degrees)
            return (cast(evaluate(np.multiply, from_mean, scale), dtype),)

        return record("var", cast(y, dtype), (self,), backward)

    def std(self, axis: Axes = None, *, correction: int = 1, keepdims: bool = False) -> "Tensor":
        """Square root of `var`."""
        return self.var(axis, correction=correction, keepdims=keepdims).sqrt()

    def max(self, axis: Axes = None, keepdims: bool = False) -> "Tensor":
        """Largest element; NaN if one is.

        Raises:
            ValueError: there are none.
        """
        return self._extremum("max", np.maximum, axis, keepdims)

    def min(self, axis: Axes = None, keepdims: bool = False) -> "Tensor":
        """Smallest element; NaN if one is.

        Raises:
            ValueError: there are none.
        """
        return self._extremum("min", np.minimum, axis, keepdims)

    def argmax(self, axis: int | None = None, keepdims: bool = False) -> "Tensor":
        """Place of the first largest element along an axis, or in the flattened array."""
        return self._place(np.argmax, axis, keepdims)

    def argmin(self, axis: int | None = None, keepdims: bool = False) -> "Tensor":
        """Place of the first smallest element along an axis, or in the flattened array."""
        return self._place(np.argmin, axis, keepdims)

    def _extremum(self, name: str, ufunc: np.ufunc, axis: Axes, keepdims: bool) -> "Tensor":
        axes, x = axes_of(axis, self.ndim), self.data
        if any(x.shape[i] == 0 for i in axes):
            raise ValueError(f"{name}: no elements along axis {axis} of shape {x.shape}")
        kept = extremum(ufunc, x, axes)

        def backward(g: Array) -> tuple[Array]:
            where = compare(np.equal, x, kept)
            wide = widen(g.reshape(kept.shape))
            share = _divided(wide, add_up(cast(where, wide.dtype), axes, keepdims=True))
            return (cast(evaluate(np.multiply, share, where), g.dtype),)

        y = kept if keepdims else kept.reshape([n for i, n in enumerate(x.shape) if i not in axes])
        return record(name, y, (self,), backward, saved=(self,), saved_results=(0,))

    def _place(self, function: Callable[..., Any], axis: int | None, keepdims: bool) -> "Tensor":
        if axis is not None:
            axis = axis_of(axis, self.ndim)
        return self._make(as_array(function(self.data, axis=axis, keepdims=keepdims)))


def _spread(g: Array, shape: tuple[int, ...], axes: tuple[int, ...]) -> Array:
    """A read-only view of g along the axes that were reduced."""
    kept = tuple(1 if i in axes else n for i, n in enumerate(shape))
    return np.broadcast_to(g.reshape(kept), shape)


def _divided(x: Array, count: int | Array) -> Array:
    return evaluate(np.divide, x, cast(as_array(count), x.dtype))
