"""Gradient boosting of classes."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d

from pyllm.ensemble.supervised_boosting import SupervisedBoosting
from pyllm.trees.custom_loss import CustomLoss
from pyllm.trees.losses import make_objective
from pyllm.trees.objective import FloatArray, Objective


class GradientBoostingClassifier(ClassifierMixin, SupervisedBoosting):
    """Gradient boosting of classes.

    loss: None or "log_loss" (logistic for two classes, softmax for more), "one_vs_all", or a
    function (of class numbers and margins).

    Parameters and attributes: see `pyllm.ensemble.boosting.GradientBoosting`. `classes_` holds the
    classes, in the order of predict_proba.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from pyllm.ensemble import GradientBoostingClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> GradientBoostingClassifier(random_state=0).fit(X, y).score(X, y) > 0.95
    True
    """

    classes_: NDArray

    def _read_target(self, y: Any) -> NDArray:
        if y is None:
            raise ValueError("y: requires y to be passed, but the target y is None")
        y = column_or_1d(y, warn=True)
        check_classification_targets(y)
        self.classes_, target = np.unique(y, return_inverse=True)
        return target

    def _read_eval_target(self, y: Any) -> NDArray:
        y = column_or_1d(y)
        target = np.searchsorted(self.classes_, y).clip(0, len(self.classes_) - 1)
        if (self.classes_[target] != y).any():
            raise ValueError("eval_set: y has classes that are not in the training data")
        return target

    def _weigh(self, weight: FloatArray | None, target: NDArray) -> FloatArray | None:
        present = target if weight is None else target[weight > 0]
        if len(np.unique(present)) < 2:
            raise ValueError("y: expected at least two classes with positive weight, got one class")
        if self.class_weight is None:
            return weight
        by_class = self.class_weight
        if isinstance(by_class, dict):
            unknown = set(by_class) - set(self.classes_.tolist())
            if unknown:
                raise ValueError(f"class_weight: y has no class {sorted(unknown, key=str)[0]!r}")
        factor = compute_sample_weight(by_class, self.classes_[target])
        return factor if weight is None else weight * factor

    def _objective(self, target: NDArray) -> Objective:
        n_classes = len(self.classes_)
        loss = "log_loss" if self.loss is None else self.loss
        if isinstance(loss, Objective):
            return make_objective(loss)
        if loss == "log_loss" or callable(loss):
            two = n_classes == 2
            standard = (
                make_objective("log_loss")
                if two
                else make_objective("softmax", n_classes=n_classes)
            )
            return CustomLoss(loss, like=standard) if callable(loss) else standard
        if loss in ("softmax", "one_vs_all"):
            return make_objective(loss, n_classes=n_classes)
        raise ValueError(f"loss: expected log_loss, softmax or one_vs_all, got {loss!r}")

    def decision_function(self, X: Any, *, base_margin: Any = None) -> FloatArray:
        """Margins: (n_samples,) for two classes, else (n_samples, n_classes)."""
        margin = self._margin(X, base_margin)
        return margin[0] if len(margin) == 1 else np.ascontiguousarray(margin.T)

    def predict_proba(self, X: Any, *, base_margin: Any = None) -> FloatArray:
        """(n_samples, n_classes): the probability of each class."""
        return self._probability(self._margin(X, base_margin))

    def predict(self, X: Any, *, base_margin: Any = None) -> NDArray:
        """(n_samples,): the most likely class."""
        return self._most_likely(self._margin(X, base_margin))

    def staged_decision_function(self, X: Any) -> Iterator[FloatArray]:
        """decision_function() after every round."""
        for margin in self._staged(X):
            yield margin[0] if len(margin) == 1 else np.ascontiguousarray(margin.T)

    def staged_predict_proba(self, X: Any) -> Iterator[FloatArray]:
        """predict_proba() after every round."""
        for margin in self._staged(X):
            yield self._probability(margin)

    def staged_predict(self, X: Any) -> Iterator[NDArray]:
        """predict() after every round."""
        for margin in self._staged(X):
            yield self._most_likely(margin)

    def _most_likely(self, margin: FloatArray) -> NDArray:
        index = (margin[0] > 0).astype(np.intp) if len(margin) == 1 else margin.argmax(0)
        return self.classes_[index]

    def _probability(self, margin: FloatArray) -> FloatArray:
        p = self.objective_.response(margin)
        if len(p) == 1:
            return np.column_stack([1.0 - p[0], p[0]])
        return np.ascontiguousarray(p.T)
