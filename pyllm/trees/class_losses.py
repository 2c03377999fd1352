"""Losses of more than two classes: one margin a class."""

import math

import numpy as np
from numpy.typing import NDArray

from pyllm import _cpu
from pyllm.trees.device import kernels_of
from pyllm.trees.objective import FloatArray, Labels, Objective, start_at
from pyllm.trees.row_losses import sigmoid


class ClassLoss(Objective):
    """Base: targets are the numbers of classes, 0 to n_outputs - 1."""

    metric = "log_loss"

    def __init__(self, n_classes: int) -> None:
        if n_classes < 2:
            raise ValueError(f"n_classes: expected at least 2, got {n_classes}")
        self.n_outputs = n_classes

    def prepare(self, labels: Labels) -> Labels:
        target = np.ascontiguousarray(labels.target, np.int32)
        if target.ndim != 1 or not np.array_equal(target, labels.target):
            raise ValueError(f"y: {self.name} expects one class number a row")
        if target.size and not (target.min() >= 0 and target.max() < self.n_outputs):
            raise ValueError(
                f"y: {self.name} expects classes from 0 to {self.n_outputs - 1}, "
                f"got {target.min()} to {target.max()}"
            )
        return Labels(target, labels.weight, labels.query_offset)

    def priors(self, labels: Labels) -> FloatArray:
        counts = np.bincount(labels.target, labels.weight, self.n_outputs)
        return np.maximum(counts / counts.sum(), 1e-15)


class Softmax(ClassLoss):
    """-log p_y, p = softmax(s)."""

    name = "softmax"
    on_device = True
    link = "softmax"

    def initial_margin(self, labels: Labels) -> FloatArray:
        return start_at(*(math.log(p) for p in self.priors(labels)))

    def derivatives(
        self,
        margin: FloatArray,
        labels: Labels,
        gradient: NDArray[np.float32],
        hessian: NDArray[np.float32],
    ) -> None:
        kernels_of(margin).tree_softmax_gradient(
            margin, labels.target, labels.weight, gradient, hessian
        )

    def response(self, margin: FloatArray) -> FloatArray:
        e = np.exp(margin - margin.max(0))
        return e / e.sum(0)


class OneVsAll(ClassLoss):
    """A logistic loss for each class against the others; probabilities are scaled to sum to 1."""

    name = "one_vs_all"
    link = "one_vs_all"

    def initial_margin(self, labels: Labels) -> FloatArray:
        return start_at(*(math.log(p / max(1.0 - p, 1e-15)) for p in self.priors(labels)))

    def derivatives(
        self,
        margin: FloatArray,
        labels: Labels,
        gradient: NDArray[np.float32],
        hessian: NDArray[np.float32],
    ) -> None:
        for k in range(self.n_outputs):
            target = (labels.target == k).astype(np.float64)
            _cpu.tree_row_gradient(
                "logistic", 0.0, margin[k], target, labels.weight, gradient[k], hessian[k]
            )

    def response(self, margin: FloatArray) -> FloatArray:
        p = sigmoid(margin)
        return p / np.maximum(p.sum(0), 1e-300)
