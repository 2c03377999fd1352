"""Averaged trees that predict numbers."""

import warnings
from typing import Any

import numpy as np
from sklearn.base import RegressorMixin

from pyllm.ensemble.averaging import AveragedTrees, FloatArray
from pyllm.ensemble.learner import read_targets


class AveragedRegressor(RegressorMixin, AveragedTrees):
    """y as one column a target."""

    def _engine_criterion(self, outputs: int) -> Any:
        if self.criterion in ("auto", "squared_error", "friedman_mse"):
            return "newton"
        if self.criterion == "poisson":
            return "poisson"
        if self.criterion == "absolute_error":
            if self.monotonic_cst is not None:
                raise ValueError("monotonic_cst: expected None for criterion='absolute_error'")
            return "absolute"
        raise ValueError(
            "criterion: expected 'squared_error', 'absolute_error', 'poisson' or 'auto', "
            f"got {self.criterion!r}; other losses: the gradient boosting estimators"
        )

    def _impurity_scale(self, outputs: int) -> float:
        return 1.0 / outputs

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def _read_target(self, y: Any) -> FloatArray:
        columns = read_targets(y)
        if self.criterion == "friedman_mse":
            warnings.warn(
                "criterion='friedman_mse' is 'squared_error' by another name, deprecated",
                FutureWarning,
                stacklevel=3,
            )
        if self.class_weight is not None:
            raise ValueError("class_weight: expected None for regression")
        if self.criterion == "poisson" and ((columns < 0).any() or not columns.any()):
            raise ValueError(
                "y: expected no values below 0, and not all 0, for criterion='poisson'"
            )
        self._one_axis = columns.ndim == 1
        return columns[:, np.newaxis] if self._one_axis else columns

    def predict(self, X: Any) -> FloatArray:
        """(n_samples,) or (n_samples, n_targets): the mean of the leaves reached."""
        means = self._means(X)
        return means[:, 0] if means.shape[1] == 1 else means
