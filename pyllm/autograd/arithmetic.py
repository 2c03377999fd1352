"""+ - * / ** @ and comparisons, broadcast as NumPy does.

    z = x y:    dx = g y,               dy = g x
    z = x / y:  dx = g / y,             dy = -g z / y
    z = x ** y: dx = g y x ** (y - 1),  dy = g z log x   (0 where y = 0, and where x = 0 <= y)
    z = x @ y:  dx = g @ y^T,           dy = x^T @ g     (summed over the axes that were broadcast)

Numbers take the tensor's dtype. Only what a needed gradient reads is saved. Where two operands of
maximum or minimum are equal, each gets half.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pyllm import ops
from pyllm.autograd.arrays import (
    FLOAT32,
    Array,
    cast,
    compare,
    copy,
    evaluate,
    fit,
    is_float,
    promote,
    widen,
)
from pyllm.autograd.tape import record
from pyllm.autograd.variable import Operand, Variable
from pyllm.device_array import is_on_device

if TYPE_CHECKING:
    from pyllm.autograd.tensor import Tensor

Partial = Callable[[Array], Array]


class Arithmetic(Variable):
    """Operators of two operands."""

    __slots__ = ()

    def __add__(self, other: Operand) -> "Tensor":
        return add(self, self._operand(other))

    def __radd__(self, other: Operand) -> "Tensor":
        return add(self._operand(other), self)

    def __sub__(self, other: Operand) -> "Tensor":
        return subtract(self, self._operand(other))

    def __rsub__(self, other: Operand) -> "Tensor":
        return subtract(self._operand(other), self)

    def __mul__(self, other: Operand) -> "Tensor":
        return multiply(self, self._operand(other))

    def __rmul__(self, other: Operand) -> "Tensor":
        return multiply(self._operand(other), self)

    def __truediv__(self, other: Operand) -> "Tensor":
        return divide(self, self._operand(other))

    def __rtruediv__(self, other: Operand) -> "Tensor":
        return divide(self._operand(other), self)

    def __pow__(self, other: Operand) -> "Tensor":
        return power(self, self._operand(other))

    def __rpow__(self, other: Operand) -> "Tensor":
        return power(self._operand(other), self)

    def __matmul__(self, other: Operand) -> "Tensor":
        return matmul(self, self._operand(other))

    def __rmatmul__(self, other: Operand) -> "Tensor":
        return matmul(self._operand(other), self)

    def __neg__(self) -> "Tensor":
        return record(
            "neg", evaluate(np.negative, self.data), (self,), lambda g: (evaluate(np.negative, g),)
        )

    def __eq__(self, other: object) -> "Tensor":  # type: ignore[override]
        return self._compare(np.equal, other)

    def __ne__(self, other: object) -> "Tensor":  # type: ignore[override]
        return self._compare(np.not_equal, other)

    def __lt__(self, other: Operand) -> "Tensor":
        return self._compare(np.less, other)

    def __le__(self, other: Operand) -> "Tensor":
        return self._compare(np.less_equal, other)

    def __gt__(self, other: Operand) -> "Tensor":
        return self._compare(np.greater, other)

    def __ge__(self, other: Operand) -> "Tensor":
        return self._compare(np.greater_equal, other)

    __hash__ = object.__hash__

    def _compare(self, ufunc: np.ufunc, other: object) -> "Tensor":
        """A boolean tensor, which has no gradient."""
        theirs = self._operand(other)  # type: ignore[arg-type]
        dtype = promote(self.dtype, theirs.dtype)
        return self._make(compare(ufunc, cast(self.data, dtype), cast(theirs.data, dtype)))


def add(a: Variable, b: Variable) -> "Tensor":
    return _record("add", evaluate(np.add, a.data, b.data), a, b, _same, _same)


def subtract(a: Variable, b: Variable) -> "Tensor":
    z = evaluate(np.subtract, a.data, b.data)
    return _record("sub", z, a, b, _same, lambda g: evaluate(np.negative, g))


def multiply(a: Variable, b: Variable) -> "Tensor":
    x: Any = a.data if b.requires_grad else None
    y: Any = b.data if a.requires_grad else None
    return _record(
        "mul",
        evaluate(np.multiply, a.data, b.data),
        a,
        b,
        lambda g: evaluate(np.multiply, g, y),
        lambda g: evaluate(np.multiply, g, x),
        (a if b.requires_grad else None, b if a.requires_grad else None),
    )


def divide(a: Variable, b: Variable) -> "Tensor":
    """a / b; of integers float32."""
    dtype = promote(a.dtype, b.dtype)
    y = b.data
    z = evaluate(np.divide, a.data, y, dtype=dtype if is_float(dtype) else FLOAT32)
    saved: Any = z if b.requires_grad else None

    def to_divisor(g: Array) -> Array:
        made = evaluate(np.multiply, widen(g), saved)
        evaluate(np.divide, made, y, out=made)
        return np.negative(made, out=made)

    return _record(
        "div",
        z,
        a,
        b,
        lambda g: evaluate(np.divide, g, y),
        to_divisor,
        (b,),
        saves_result=b.requires_grad,
    )


def power(a: Variable, b: Variable) -> "Tensor":
    x, y = a.data, b.data
    z = _powers(x, y)
    saved: Any = z if b.requires_grad else None

    def to_base(g: Array) -> Array:
        exponent = widen(y)
        made = evaluate(np.multiply, _powers(widen(x), exponent - 1), exponent)
        if is_on_device(exponent) or not np.all(exponent):
            np.copyto(made, 0, where=exponent == 0)
        return evaluate(np.multiply, made, g, out=made)

    def to_exponent(g: Array) -> Array:
        made = evaluate(np.multiply, evaluate(np.log, x, dtype=widen(saved).dtype), saved)
        np.copyto(made, 0, where=(x == 0) & (y >= 0))
        return evaluate(np.multiply, made, g, out=made)

    return _record("pow", z, a, b, to_base, to_exponent, (a, b), saves_result=b.requires_grad)


def _powers(x: Array, y: Array) -> Array:
    """x ** y; the powers that are met most need no logarithm."""
    if y.ndim == 0 and is_float(x.dtype):
        if y == 1:
            return copy(x)
        if y == 2:
            return evaluate(np.multiply, x, x)
        if y == 3:
            wide = widen(x)
            return cast(evaluate(np.multiply, evaluate(np.multiply, wide, wide), wide), x.dtype)
        if y == 0.5:
            return evaluate(np.sqrt, x)
        if y == -1:
            return evaluate(np.divide, np.ones((), x.dtype), x)
    return evaluate(np.power, x, y)


def maximum(a: Variable, b: Variable) -> "Tensor":
    """The larger of each pair; NaN if one is."""
    return _extremum("maximum", np.maximum, np.greater, a, b)


def minimum(a: Variable, b: Variable) -> "Tensor":
    """The smaller of each pair; NaN if one is."""
    return _extremum("minimum", np.minimum, np.less, a, b)


def _extremum(name: str, ufunc: np.ufunc, wins: np.ufunc, a: Variable, b: Variable) -> "Tensor":
    x, y = a.data, b.data

    def share(g: Array, one: Array, two: Array) -> Array:
        weight = compare(wins, one, two).astype(np.float32)
        weight += 0.5 * compare(np.equal, one, two).astype(np.float32)
        return cast(evaluate(np.multiply, g, weight), g.dtype)

    return _record(
        name,
        evaluate(ufunc, x, y),
        a,
        b,
        lambda g: share(g, x, y),
        lambda g: share(g, y, x),
        (a, b),
    )


def matmul(a: Variable, b: Variable) -> "Tensor":
    """a @ b over the last two axes, shapes as `numpy.matmul`; see `ops.matmul`.

    Raises:
        TypeError: integers.
        ValueError: shapes that do not fit.
    """
    dtype = promote(a.dtype, b.dtype)
    x, y = cast(a.data, dtype), cast(b.data, dtype)
    row, column = x.ndim == 1, y.ndim == 1  # operands that stand for a matrix of one
    left: Any = (x[None, :] if row else x) if b.requires_grad else None
    right: Any = (y[:, None] if column else y) if a.requires_grad else None
    rows_only = y.ndim == 2 and x.ndim > 2

    def whole(g: Array) -> Array:
        g = g[..., None] if column else g
        return g[..., None, :] if row else g

    def to_left(g: Array) -> Array:
        made = ops.matmul(whole(g), right, transpose_b=True)
        return made[..., 0, :] if row else made

    def to_right(g: Array) -> Array:
        first, second = left, whole(g)
        if rows_only:  # one long product, not a sum of many
            first, second = (m.reshape(-1, m.shape[-1]) for m in (first, second))
        made = ops.matmul(first, second, transpose_a=True)
        return made[..., 0] if column else made

    saved = a if b.requires_grad else None, b if a.requires_grad else None
    return _record("matmul", ops.matmul(x, y), a, b, to_left, to_right, saved)


def _same(g: Array) -> Array:
    return g


def _no_gradient(*_: Array) -> tuple[()]:
    """The backward of what no tensor needs a gradient of: never on the tape."""
    return ()


def _record(
    name: str,
    z: Array,
    a: Variable,
    b: Variable,
    to_a: Partial,
    to_b: Partial,
    saved: Sequence[Variable | None] = (),
    saves_result: bool = False,
) -> "Tensor":
    """A node of two operands, whose shapes and dtypes the gradients are brought back to."""
    needs = a.requires_grad, b.requires_grad
    if not (needs[0] or needs[1]):
        return record(name, z, (a, b), _no_gradient)
    shapes, dtypes = (a.shape, b.shape), (a.dtype, b.dtype)

    def backward(g: Array) -> tuple[Array | None, Array | None]:
        return (
            fit(to_a(g), shapes[0], dtypes[0]) if needs[0] else None,
            fit(to_b(g), shapes[1], dtypes[1]) if needs[1] else None,
        )

    results = (0,) if saves_result else ()
    return record(name, z, (a, b), backward, saved=saved, saved_results=results)
