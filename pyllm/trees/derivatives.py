"""Gradients and hessians of a round, where the trees are grown."""

from typing import Any

import numpy as np

from pyllm import cuda
from pyllm.trees.device import move_labels
from pyllm.trees.objective import Labels, Objective


class Derivatives:
    """Of the training rows: (n_outputs, n) float32 arrays, overwritten each round.

    An objective that has no kernels for a device is differentiated on the CPU: the margins are
    copied there and the derivatives back.
    """

    def __init__(self, objective: Objective, labels: Labels, device: str) -> None:
        self.objective, self.labels, self.device = objective, labels, device
        self._made: Any = tuple(
            np.empty((objective.n_outputs, labels.n_samples), np.float32) for _ in range(2)
        )
        self._on_cpu = device == "cpu" or not objective.on_device
        if not self._on_cpu:
            self.labels = move_labels(labels, device)
            self._made = tuple(cuda.move(array, device) for array in self._made)

    def at(self, margin: Any) -> tuple[Any, Any]:
        """At the margins (n_outputs, n), float64 on the device."""
        here = margin.numpy() if self._on_cpu and self.device != "cpu" else margin
        gradient, hessian = self._made
        self.objective.derivatives(here, self.labels, gradient, hessian)
        if not self._on_cpu or self.device == "cpu":
            return gradient, hessian
        return cuda.move(gradient, self.device), cuda.move(hessian, self.device)
