"""Losses of one row at a time: regression, counts, amounts, and two classes.

Formulas stand at the head of csrc/cpu/trees/objective.cpp.
"""

import math
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from pyllm import _cpu
from pyllm.trees.device import kernels_of
from pyllm.trees.objective import (
    FloatArray,
    Labels,
    Objective,
    start_at,
    weighted_mean,
    weighted_quantile,
)


class RowLoss(Objective):
    """A loss that one kernel call differentiates; several regression targets go one by one."""

    on_device = True
    kernel: ClassVar[str]
    parameter: float = 0.0
    # What targets may be: the test and its wording.
    expected: ClassVar[str] = "finite values"

    def __init__(self, n_outputs: int = 1) -> None:
        self.n_outputs = n_outputs

    def allowed(self, target: FloatArray) -> NDArray[np.bool_]:
        return np.isfinite(target)

    def prepare(self, labels: Labels) -> Labels:
        target = np.ascontiguousarray(labels.target, np.float64)
        shape = (labels.n_samples,) if self.n_outputs == 1 else (self.n_outputs, labels.n_samples)
        if target.shape != shape:
            raise ValueError(f"y: expected shape {shape} for {self.name}, got {target.shape}")
        bad = ~self.allowed(target)
        if bad.any():
            first = tuple(int(i) for i in np.argwhere(bad)[0])
            raise ValueError(
                f"y: {self.name} expects {self.expected}, got {target[first]} at row {first[-1]}"
            )
        return Labels(target, labels.weight, labels.query_offset)

    def rows(self, array: NDArray, output: int) -> NDArray:
        return array[output] if array.ndim == 2 else array

    def initial_margin(self, labels: Labels) -> FloatArray:
        return start_at(
            *(self.start(self.rows(labels.target, k), labels.weight) for k in range(self.n_outputs))
        )

    def start(self, target: FloatArray, weight: FloatArray | None) -> float:
        return weighted_mean(target, weight)

    def derivatives(
        self,
        margin: FloatArray,
        labels: Labels,
        gradient: NDArray[np.float32],
        hessian: NDArray[np.float32],
    ) -> None:
        for k in range(self.n_outputs):
            kernels_of(margin).tree_row_gradient(
                self.kernel,
                self.parameter,
                margin[k],
                self.rows(labels.target, k),
                labels.weight,
                gradient[k],
                hessian[k],
            )


class SquaredError(RowLoss):
    """(y - s)^2 / 2."""

    name = "squared_error"
    kernel = "squared"
    metric = "rmse"


class QuantileError(RowLoss):
    """The pinball loss: s estimates the `level` quantile of y. Leaves hold quantiles."""

    name = "quantile"
    kernel = "quantile"
    metric = "quantile"
    renews_leaves = True

    def __init__(self, level: float = 0.5, n_outputs: int = 1) -> None:
        if not 0.0 < level < 1.0:
            raise ValueError(f"quantile: expected a level between 0 and 1, got {level}")
        super().__init__(n_outputs)
        self.level = self.parameter = level
        if self.name == "quantile":
            self.metric = f"quantile@{level}"

    def start(self, target: FloatArray, weight: FloatArray | None) -> float:
        return weighted_quantile(target, weight, self.level)

    def renew(
        self,
        margin: FloatArray,
        labels: Labels,
        output: int,
        leaf: NDArray[np.int32],
        nodes: int,
        weight: FloatArray | None,
        rows: NDArray[np.int32] | None,
    ) -> FloatArray:
        residual = self.rows(labels.target, output) - margin[output]
        return _cpu.tree_leaf_quantiles(residual, leaf, nodes, self.level, weight, rows)


class AbsoluteError(QuantileError):
    """|y - s|. Leaves hold medians."""

    name = "absolute_error"
    kernel = "absolute"
    metric = "mae"

    def __init__(self, n_outputs: int = 1) -> None:
        super().__init__(0.5, n_outputs)


class Huber(RowLoss):
    """Squared within delta of the target, linear beyond.

    delta: a number fixes it. None finds it anew each round as the `level` quantile of |y - s|,
    with leaves at the median of their residuals plus the mean of what is within delta of it
    (Friedman, "Greedy function approximation", 2001, algorithm 4).
    """

    name = "huber"
    kernel = "huber"
    metric = "mae"

    def __init__(self, delta: float | None = None, level: float = 0.9, n_outputs: int = 1) -> None:
        if delta is not None and not (delta > 0.0 and math.isfinite(delta)):
            raise ValueError(f"delta: expected a positive number or None, got {delta}")
        if not 0.0 < level < 1.0:
            raise ValueError(f"alpha: expected a level between 0 and 1, got {level}")
        super().__init__(n_outputs)
        self.delta, self.level = delta, level
        self.renews_leaves = delta is None
        self._deltas = [1.0 if delta is None else delta] * n_outputs

    def start(self, target: FloatArray, weight: FloatArray | None) -> float:
        return weighted_quantile(target, weight, 0.5)

    def derivatives(
        self,
        margin: FloatArray,
        labels: Labels,
        gradient: NDArray[np.float32],
        hessian: NDArray[np.float32],
    ) -> None:
        for k in range(self.n_outputs):
            target = self.rows(labels.target, k)
            if self.delta is None:
                size = np.abs(target - margin[k])
                self._deltas[k] = weighted_quantile(size, labels.weight, self.level)
            kernels_of(margin).tree_row_gradient(
                self.kernel,
                self._deltas[k],
                margin[k],
                target,
                labels.weight,
                gradient[k],
                hessian[k],
            )

    def renew(
        self,
        margin: FloatArray,
        labels: Labels,
        output: int,
        leaf: NDArray[np.int32],
        nodes: int,
        weight: FloatArray | None,
        rows: NDArray[np.int32] | None,
    ) -> FloatArray:
        residual = self.rows(labels.target, output) - margin[output]
        median = _cpu.tree_leaf_quantiles(residual, leaf, nodes, 0.5, weight, rows)
        delta = self._deltas[output]
        near = np.clip(residual - median[leaf], -delta, delta)
        each = np.ones(len(leaf)) if weight is None else weight
        if rows is not None:
            near, each, leaf = near[rows], each[rows], leaf[rows]
        total = np.bincount(leaf, each, nodes)
        sums = np.bincount(leaf, near * each, nodes)
        return median + np.divide(sums, total, out=np.zeros(nodes), where=total > 0)


class LogLink(RowLoss):
    """Base of the losses whose prediction is e^margin, the mean of y."""

    expected = "finite values that are not negative, not all of them 0"
    link = "exp"

    def allowed(self, target: FloatArray) -> NDArray[np.bool_]:
        return np.isfinite(target) & (target >= 0)

    def start(self, target: FloatArray, weight: FloatArray | None) -> float:
        mean = weighted_mean(target, weight)
        if not mean > 0.0:
            raise ValueError(f"y: {self.name} expects {self.expected}, got a mean of {mean}")
        return math.log(mean)

    def response(self, margin: FloatArray) -> FloatArray:
        return np.exp(margin)


class Poisson(LogLink):
    """Counts: deviance of a Poisson distribution with mean e^s."""

    name = "poisson"
    kernel = "poisson"
    metric = "poisson_deviance"


class Gamma(LogLink):
    """Positive amounts: deviance of a gamma distribution with mean e^s."""

    name = "gamma"
    kernel = "gamma"
    metric = "gamma_deviance"
    expected = "finite values greater than 0"

    def allowed(self, target: FloatArray) -> NDArray[np.bool_]:
        return np.isfinite(target) & (target > 0)


class Tweedie(LogLink):
    """Amounts that may be 0: compound Poisson-gamma with mean e^s and variance mean^power."""

    name = "tweedie"
    kernel = "tweedie"

    def __init__(self, power: float = 1.5, n_outputs: int = 1) -> None:
        if not 1.0 < power < 2.0:
            raise ValueError(f"tweedie: expected a variance power between 1 and 2, got {power}")
        super().__init__(n_outputs)
        self.power = self.parameter = power
        self.metric = f"tweedie_deviance@{power}"


class CrossEntropy(RowLoss):
    """-(y log p + (1 - y) log(1 - p)), p = sigmoid(s), of targets that are probabilities."""

    name = "cross_entropy"
    link = "sigmoid"
    kernel = "logistic"
    metric = "log_loss"
    expected = "values from 0 to 1"

    def allowed(self, target: FloatArray) -> NDArray[np.bool_]:
        return (target >= 0) & (target <= 1)

    def start(self, target: FloatArray, weight: FloatArray | None) -> float:
        mean = min(max(weighted_mean(target, weight), 1e-15), 1.0 - 1e-15)
        return math.log(mean / (1.0 - mean))

    def response(self, margin: FloatArray) -> FloatArray:
        return sigmoid(margin)


class LogLoss(CrossEntropy):
    """Cross-entropy of two classes, 0 and 1."""

    name = "log_loss"
    expected = "0 or 1"

    def allowed(self, target: FloatArray) -> NDArray[np.bool_]:
        return (target == 0) | (target == 1)


def sigmoid(margin: FloatArray) -> FloatArray:
    with np.errstate(over="ignore"):
        return 1.0 / (1.0 + np.exp(-margin))
