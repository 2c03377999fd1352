"""Averaged trees that tell classes apart."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d

from pyllm.ensemble.averaging import AveragedTrees, FloatArray


class AveragedClassifier(ClassifierMixin, AveragedTrees):
    """y as one 0/1 column a class, means as probabilities."""

    classes_: NDArray

    def _engine_criterion(self, outputs: int) -> Any:
        if self.criterion in ("auto", "gini"):
            return "newton"
        if self.criterion in ("entropy", "log_loss"):
            return "bernoulli" if outputs == 1 else "multinomial"
        raise ValueError(
            f"criterion: expected 'gini', 'entropy', 'log_loss' or 'auto', got {self.criterion!r}"
        )

    def _impurity_scale(self, outputs: int) -> float:
        if self._engine_criterion(outputs) != "newton":
            return 1.0 / np.log(2.0)  # entropy is in bits
        return 2.0 if outputs == 1 else 1.0  # one column stands for two classes

    def _read_target(self, y: Any) -> FloatArray:
        if y is None:
            raise ValueError("y: requires y to be passed, but the target y is None")
        y = column_or_1d(y, warn=True)
        check_classification_targets(y)
        self.classes_, self._target = np.unique(y, return_inverse=True)
        self.n_classes_ = len(self.classes_)
        if self.n_classes_ <= 2:
            return (self._target == self.n_classes_ - 1).astype(np.float64)[:, np.newaxis]
        return (self._target[:, np.newaxis] == np.arange(self.n_classes_)).astype(np.float64)

    def _centre(self, columns: FloatArray, weight: FloatArray | None) -> FloatArray:
        """0: gradients that are whole numbers leave a node of one class nothing to gain."""
        return np.zeros(columns.shape[1])

    def _weigh(self, weight: FloatArray | None) -> FloatArray | None:
        target = self.classes_[self._target]
        del self._target
        if self.class_weight is None:
            return weight
        factor = compute_sample_weight(self.class_weight, target)
        return factor if weight is None else weight * factor

    def predict_proba(self, X: Any) -> FloatArray:
        """(n_samples, n_classes): the mean share of each class in the leaves reached."""
        return self._probability(self._means(X))

    def predict(self, X: Any) -> NDArray:
        """(n_samples,): the most likely class; of equal ones the first."""
        index = self.predict_proba(X).argmax(1)
        return self.classes_[index]

    def predict_log_proba(self, X: Any) -> FloatArray:
        """log(predict_proba(X))."""
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def _probability(self, means: FloatArray) -> FloatArray:
        if self.n_classes_ == 1:
            return np.ones((len(means), 1))
        if self.n_classes_ == 2:
            means = np.column_stack([1.0 - means[:, 0], means[:, 0]])
        p = np.clip(means, 0.0, 1.0)
        return p / p.sum(1, keepdims=True)
