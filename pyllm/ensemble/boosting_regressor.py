"""Gradient boosting of numbers."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import RegressorMixin

from pyllm.ensemble.learner import read_targets
from pyllm.ensemble.supervised_boosting import SupervisedBoosting
from pyllm.trees.losses import make_objective
from pyllm.trees.objective import FloatArray, Objective


class GradientBoostingRegressor(RegressorMixin, SupervisedBoosting):
    """Gradient boosting of regression trees.

    loss: "squared_error" (None), "absolute_error", "huber" or "huber@delta" (linear beyond delta;
    without a number Friedman's adaptive one), "quantile@level", "poisson", "gamma",
    "tweedie@power", "cross_entropy" (targets are probabilities), a function or an Objective. y may
    have several columns, one a target.

    Parameters and attributes: see `pyllm.ensemble.boosting.GradientBoosting`.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from pyllm.ensemble import GradientBoostingRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = GradientBoostingRegressor(loss="quantile@0.9", random_state=0).fit(X, y)
    >>> 0.8 < (y <= model.predict(X)).mean() < 0.99
    True
    """

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.single_output = True
        tags.target_tags.multi_output = True
        return tags

    def _read_target(self, y: Any) -> NDArray:
        if self.class_weight is not None:
            raise ValueError("class_weight: expected None for regression")
        target = self._read_eval_target(y)
        self._one_column = target.ndim == 2 and target.shape[1] == 1
        return target[:, 0] if self._one_column else target

    def _read_eval_target(self, y: Any) -> NDArray:
        return read_targets(y)

    def _objective(self, target: NDArray) -> Objective:
        loss = "squared_error" if self.loss is None else self.loss
        outputs = 1 if target.ndim == 1 else target.shape[1]
        if isinstance(loss, str) and loss.partition("@")[0] in (
            "log_loss",
            "softmax",
            "one_vs_all",
            "lambdarank",
            "rank_map",
        ):
            raise ValueError(f"loss: expected one for regression, got {loss!r}")
        if isinstance(loss, Objective):
            return make_objective(loss)
        return make_objective(loss, n_outputs=outputs)

    def predict(self, X: Any, *, base_margin: Any = None) -> FloatArray:
        """(n_samples,) or (n_samples, n_targets): means, medians, quantiles, by the loss."""
        margin = self._margin(X, base_margin)
        return self._shape(self.objective_.response(margin))

    def staged_predict(self, X: Any) -> Iterator[FloatArray]:
        """predict() after every round."""
        for margin in self._staged(X):
            yield self._shape(self.objective_.response(margin))

    def _shape(self, response: FloatArray) -> FloatArray:
        if len(response) > 1:
            return np.ascontiguousarray(response.T)
        return response.T if self._one_column else response[0]
