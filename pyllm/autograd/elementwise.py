"""exp, log, sqrt, sin, cos, tanh, sigmoid, abs, clip, astype.

Each saves its result or its input, whichever gives the derivative without computing it again:

    exp y;  sqrt 1 / (2 y);  tanh 1 - y^2;  sigmoid y (1 - y)
    log 1 / x;  sin cos x;  cos -sin x;  abs sign x;  clip 1 where low <= x <= high
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pyllm.autograd.arrays import (
    FLOAT32,
    Array,
    cast,
    compare,
    copy,
    evaluate,
    is_float,
    sigmoid,
    widen,
)
from pyllm.autograd.tape import record
from pyllm.autograd.variable import Variable

if TYPE_CHECKING:
    from pyllm.autograd.tensor import Tensor


class Elementwise(Variable):
    """Functions of each element."""

    __slots__ = ()

    def exp(self) -> "Tensor":
        y = evaluate(np.exp, self._real())
        return self._of_result("exp", y, lambda g: evaluate(np.multiply, g, y))

    def log(self) -> "Tensor":
        """Natural logarithm: -inf at 0, NaN below."""
        x = self._real()
        y = evaluate(np.log, x)
        return self._of_input("log", y, lambda g: _quotient(g, x))

    def sqrt(self) -> "Tensor":
        """Square root: NaN below 0; the slope at 0 is infinite."""
        y = evaluate(np.sqrt, self._real())
        return self._of_result("sqrt", y, lambda g: _quotient(g, 2 * widen(y)))

    def sin(self) -> "Tensor":
        x = self._real()
        y = evaluate(np.sin, x)
        return self._of_input("sin", y, lambda g: _times(g, evaluate(np.cos, widen(x))))

    def cos(self) -> "Tensor":
        x = self._real()
        y = evaluate(np.cos, x)

        def backward(g: Array) -> Array:
            slope = evaluate(np.sin, widen(x))
            return _times(g, np.negative(slope, out=slope))

        return self._of_input("cos", y, backward)

    def tanh(self) -> "Tensor":
        y = evaluate(np.tanh, self._real())

        def backward(g: Array) -> Array:
            wide = widen(y)
            slope = evaluate(np.multiply, wide, wide)
            return _times(g, np.subtract(1, slope, out=slope))

        return self._of_result("tanh", y, backward)

    def sigmoid(self) -> "Tensor":
        """1 / (1 + exp(-x))."""
        x = self._real()
        y = sigmoid(x)

        def backward(g: Array) -> Array:
            wide = widen(y)
            slope = evaluate(np.subtract, np.ones((), wide.dtype), wide)
            return _times(g, np.multiply(slope, wide, out=slope))

        return self._of_result("sigmoid", y, backward)

    def abs(self) -> "Tensor":
        """Absolute value; its slope at 0 is taken as 0."""
        x = self.data
        y = evaluate(np.absolute, x)
        return self._of_input("abs", y, lambda g: evaluate(np.multiply, g, evaluate(np.sign, x)))

    __abs__ = abs

    def clip(self, low: float | None = None, high: float | None = None) -> "Tensor":
        """Elements below `low` become low, above `high` become high; None leaves a side open.

        Raises:
            ValueError: neither is given, or low > high.
        """
        if low is None and high is None:
            raise ValueError("clip: expected low, high or both")
        if low is not None and high is not None and low > high:
            raise ValueError(f"low: expected at most high = {high}, got {low}")
        x = self.data
        y = copy(x)
        if low is not None:
            np.maximum(y, np.asarray(low, x.dtype), out=y)
        if high is not None:
            np.minimum(y, np.asarray(high, x.dtype), out=y)

        def backward(g: Array) -> Array:
            made = copy(g)
            if low is not None:
                np.copyto(made, 0, where=x < np.asarray(low, x.dtype))
            if high is not None:
                np.copyto(made, 0, where=x > np.asarray(high, x.dtype))
            return made

        return self._of_input("clip", y, backward)

    def astype(self, dtype: npt.DTypeLike) -> "Tensor":
        """Elements converted; the gradient is converted back. The tensor itself if it is so."""
        wanted = np.dtype(dtype)
        if wanted == self.dtype:
            return self  # type: ignore[return-value]
        before = self.dtype
        if not is_float(wanted):
            return self._make(cast(self.data, wanted))
        return record("astype", cast(self.data, wanted), (self,), lambda g: (cast(g, before),))

    def isnan(self) -> "Tensor":
        return self._make(compare(np.isnan, self.data))

    def _real(self) -> Array:
        """The array, integers as float32."""
        return self.data if is_float(self.dtype) else cast(self.data, FLOAT32)

    def _of_input(self, name: str, y: Array, backward: Callable[[Array], Array]) -> "Tensor":
        """A node whose backward reads this tensor."""
        return record(name, y, (self,), lambda g: (backward(g),), saved=(self,))

    def _of_result(self, name: str, y: Array, backward: Callable[[Array], Array]) -> "Tensor":
        """A node whose backward reads its result."""
        return record(name, y, (self,), lambda g: (backward(g),), saved_results=(0,))


def _times(g: Array, slope: Array) -> Array:
    """g slope, `slope` being ours to write to, and rounded once."""
    return cast(evaluate(np.multiply, slope, g, out=slope), g.dtype)


def _quotient(g: Array, x: Array) -> Array:
    return evaluate(np.divide, g, x, dtype=g.dtype)
