"""AdaBoost over any estimator that takes sample weights."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, clone
from sklearn.utils import check_random_state, get_tags
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    check_array,
    check_consistent_length,
    check_is_fitted,
    column_or_1d,
    has_fit_parameter,
    validate_data,
)

from pyllm.ensemble.decision_tree import DecisionTreeClassifier, DecisionTreeRegressor
from pyllm.ensemble.learner import keep_weighted, read_weight
from pyllm.trees.checks import require_whole

FloatArray = NDArray[np.float64]


class _AdaBoost(BaseEstimator):
    """
    Parameters
    ----------
    estimator : estimator or None, default=None
        What is boosted; its fit must take sample_weight. None: a tree of depth 1 for
        classification, 3 for regression.
    n_estimators : int, default=50
        Rounds; fewer where one fits perfectly or no longer helps.
    learning_rate : float, default=1.0
        What the weight of each estimator is multiplied with.
    random_state : int, RandomState or None, default=None
        Of the estimators, where they draw.

    Attributes
    ----------
    estimators_ : list of estimators
    estimator_weights_, estimator_errors_ : (n_rounds,) ndarray
    feature_importances_ : (n_features,) ndarray, where the estimators have them
    n_features_in_, feature_names_in_
    """

    def __init__(
        self,
        estimator: Any = None,
        *,
        n_estimators: int = 50,
        learning_rate: float = 1.0,
        random_state: Any = None,
    ) -> None:
        self.estimator = estimator
        self.n_estimators = n_estimators
        self.learning_rate = learning_rate
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        inner = get_tags(self._estimator()).input_tags
        tags.input_tags.sparse = inner.sparse
        tags.input_tags.allow_nan = inner.allow_nan
        return tags

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "estimators_")

    def _estimator(self) -> Any:
        raise NotImplementedError

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """Fit one estimator after the other, each on weights that the last one's errors raised.

        Args:
            X: (n_samples, n_features), as the estimators take it.
            y: (n_samples,).
            sample_weight: (n_samples,), not negative. A whole number is the same as the row so
                many times, where the estimators keep to that.

        Raises:
            ValueError: something does not fit; the message names it.
        """
        require_whole("n_estimators", self.n_estimators, 1)
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate: expected a positive number, got {self.learning_rate}")
        estimator = self._estimator()
        if not has_fit_parameter(estimator, "sample_weight"):
            raise ValueError(f"estimator: {type(estimator).__name__}.fit takes no sample_weight")
        X = self._read(X, reset=True)
        y = self._read_target(y)
        check_consistent_length(X, y)
        checked = read_weight(sample_weight, X)
        if checked is None:
            checked = np.ones(len(y))
        _, X, (y, weight) = keep_weighted(checked, X, y, checked)
        weight = weight / weight.sum()
        random = check_random_state(self.random_state)
        self.estimators_: list[Any] = []
        weights: list[float] = []
        errors: list[float] = []
        interrupted = None
        for _ in range(self.n_estimators):
            fitted = clone(estimator)
            if "random_state" in fitted.get_params():
                fitted.set_params(random_state=random.randint(np.iinfo(np.int32).max))
            try:
                fitted.fit(X, y, sample_weight=weight)
                error, alpha, factor = self._judge(fitted, X, y, weight)
            except KeyboardInterrupt as e:
                interrupted = e  # the rounds before are a model
                break
            if alpha <= 0.0 and self.estimators_:
                break  # no better than guessing: the rounds before are the model
            self.estimators_.append(fitted)
            weights.append(alpha if alpha > 0.0 else 1.0)
            errors.append(error)
            if alpha <= 0.0 or error <= 0.0:
                break
            weight = weight * factor
            weight /= weight.sum()
        self.estimator_weights_, self.estimator_errors_ = np.array(weights), np.array(errors)
        if interrupted is not None:
            if not self.estimators_:
                del self.estimators_, self.estimator_weights_, self.estimator_errors_
            raise interrupted
        return self

    def _read(self, X: Any, *, reset: bool) -> Any:
        """Tables go to the estimators as they are, arrays are checked."""
        if hasattr(X, "columns") or hasattr(X, "column_names"):
            validate_data(self, X, skip_check_array=True, reset=reset)
            return X
        inner = get_tags(self._estimator()).input_tags
        return validate_data(
            self,
            X,
            accept_sparse=("csr", "csc") if inner.sparse else False,
            ensure_all_finite=not inner.allow_nan,
            dtype=None,
            reset=reset,
        )

    def _read_target(self, y: Any) -> NDArray:
        raise NotImplementedError

    def _judge(
        self, fitted: Any, X: Any, y: NDArray, weight: FloatArray
    ) -> tuple[float, float, FloatArray]:
        """(weighted error, weight of the estimator, what row weights are multiplied with)."""
        raise NotImplementedError

    @property
    def feature_importances_(self) -> FloatArray:
        """(n_features,): the mean of the estimators' importances by their weights."""
        check_is_fitted(self)
        each = [e.feature_importances_ for e in self.estimators_]
        return np.average(each, axis=0, weights=self.estimator_weights_)


class AdaBoostClassifier(ClassifierMixin, _AdaBoost):
    """AdaBoost for two or more classes (SAMME; Zhu, Zou, Rosset & Hastie, 2009).

    An estimator with weighted error e among K classes votes with log((1 - e) / e) + log(K - 1);
    the rows it got wrong count e to the power of that more in the next round.
    """

    classes_: NDArray

    def _estimator(self) -> Any:
        return DecisionTreeClassifier(max_depth=1) if self.estimator is None else self.estimator

    def _read_target(self, y: Any) -> NDArray:
        if y is None:
            raise ValueError("y: requires y to be passed, but the target y is None")
        y = column_or_1d(y, warn=True)
        check_classification_targets(y)
        self.classes_ = np.unique(y)
        self.n_classes_ = len(self.classes_)
        return y

    def _judge(
        self, fitted: Any, X: Any, y: NDArray, weight: FloatArray
    ) -> tuple[float, float, FloatArray]:
        wrong = fitted.predict(X) != y
        error = float(np.sum(weight[wrong]))
        guesses = max(self.n_classes_ - 1, 1)
        if error <= 0.0:
            return 0.0, 1.0, np.ones_like(weight)
        if error >= 1.0 - 1.0 / (guesses + 1):
            return error, 0.0, np.ones_like(weight)
        alpha = self.learning_rate * (np.log((1.0 - error) / error) + np.log(guesses))
        return error, float(alpha), np.where(wrong, np.exp(alpha), 1.0)

    def _votes(self, X: Any) -> Iterator[FloatArray]:
        """After each round, (n, n_classes): the share of the votes for each class."""
        check_is_fitted(self)
        X = self._read(X, reset=False)
        votes, total = 0.0, 0.0
        for fitted, alpha in zip(self.estimators_, self.estimator_weights_, strict=True):
            guess = np.searchsorted(self.classes_, fitted.predict(X))
            votes = votes + alpha * np.eye(self.n_classes_)[guess]
            total += alpha
            yield votes / total

    def decision_function(self, X: Any) -> FloatArray:
        """(n_samples, n_classes) shares of the votes; for two classes (n_samples,), in [-1, 1]."""
        return self._decision(_last(self._votes(X)))

    def staged_decision_function(self, X: Any) -> Iterator[FloatArray]:
        """decision_function() after every round."""
        return map(self._decision, self._votes(X))

    def _decision(self, votes: FloatArray) -> FloatArray:
        return votes[:, 1] - votes[:, 0] if self.n_classes_ == 2 else votes

    def predict(self, X: Any) -> NDArray:
        """(n_samples,): the class with the most votes; of equal ones the first."""
        index = _last(self._votes(X)).argmax(1)
        return self.classes_[index]

    def staged_predict(self, X: Any) -> Iterator[NDArray]:
        """predict() after every round."""
        return (self.classes_[votes.argmax(1)] for votes in self._votes(X))

    def predict_proba(self, X: Any) -> FloatArray:
        """(n_samples, n_classes): the probabilities under which these votes are the best ones.

        softmax of the votes V over K - 1, V scaled as SAMME's symmetric margins.
        """
        return self._probability(_last(self._votes(X)))

    def staged_predict_proba(self, X: Any) -> Iterator[FloatArray]:
        """predict_proba() after every round."""
        return map(self._probability, self._votes(X))

    def predict_log_proba(self, X: Any) -> FloatArray:
        """log(predict_proba(X))."""
        return np.log(self.predict_proba(X))

    def _probability(self, votes: FloatArray) -> FloatArray:
        k = self.n_classes_
        if k == 1:
            return np.ones((len(votes), 1))
        # A vote adds 1 to its class and takes 1 / (K - 1) from each other one.
        margin = (votes * k - 1.0) / (k - 1.0) / (k - 1.0)
        e = np.exp(margin - margin.max(1, keepdims=True))
        return e / e.sum(1, keepdims=True)


class AdaBoostRegressor(RegressorMixin, _AdaBoost):
    """AdaBoost.R2 (Drucker, "Improving regressors using boosting techniques", 1997).

    loss : {"linear", "square", "exponential"}, default="linear"
        How the error of a row, over the largest one, counts.

    An estimator with mean loss L < 1/2 has b = L / (1 - L); rows of loss l count b^(1 - l) in the
    next round. The prediction is the median of the estimators' weighted by log(1 / b). Rows are
    weighed, not drawn again as in the paper, so that a fit has no luck in it.
    """

    def __init__(
        self,
        estimator: Any = None,
        *,
        n_estimators: int = 50,
        learning_rate: float = 1.0,
        loss: str = "linear",
        random_state: Any = None,
    ) -> None:
        super().__init__(
            estimator,
            n_estimators=n_estimators,
            learning_rate=learning_rate,
            random_state=random_state,
        )
        self.loss = loss

    def _estimator(self) -> Any:
        return DecisionTreeRegressor(max_depth=3) if self.estimator is None else self.estimator

    def _read_target(self, y: Any) -> NDArray:
        if y is None:
            raise ValueError("y: requires y to be passed, but the target y is None")
        if self.loss not in ("linear", "square", "exponential"):
            raise ValueError(f"loss: expected linear, square or exponential, got {self.loss!r}")
        y = column_or_1d(y, warn=True)
        return check_array(y, ensure_2d=False, dtype=np.float64, input_name="y")

    def _judge(
        self, fitted: Any, X: Any, y: NDArray, weight: FloatArray
    ) -> tuple[float, float, FloatArray]:
        error = np.abs(fitted.predict(X) - y)
        largest = error.max()
        if largest <= 0.0:
            return 0.0, 1.0, np.ones_like(weight)
        loss = error / largest
        if self.loss == "square":
            loss = loss**2
        elif self.loss == "exponential":
            loss = 1.0 - np.exp(-loss)
        mean = float(np.sum(weight * loss))
        if mean <= 0.0:
            return 0.0, 1.0, np.ones_like(weight)
        if mean >= 0.5:
            return mean, 0.0, np.ones_like(weight)
        b = mean / (1.0 - mean)
        factor = np.power(b, (1.0 - loss) * self.learning_rate)
        return mean, float(self.learning_rate * np.log(1.0 / b)), factor

    def predict(self, X: Any) -> FloatArray:
        """(n_samples,): the weighted median of the estimators' predictions."""
        return self._median(self._predictions(X))

    def staged_predict(self, X: Any) -> Iterator[FloatArray]:
        """predict() after every round."""
        predictions = self._predictions(X)
        for rounds in range(1, len(predictions) + 1):
            yield self._median(predictions[:rounds])

    def _predictions(self, X: Any) -> FloatArray:
        check_is_fitted(self)
        X = self._read(X, reset=False)
        return np.array([fitted.predict(X) for fitted in self.estimators_])

    def _median(self, predictions: FloatArray) -> FloatArray:
        order = np.argsort(predictions, axis=0, kind="stable")
        below = np.cumsum(self.estimator_weights_[order], axis=0)
        first = np.argmax(below >= 0.5 * below[-1], axis=0)
        columns = np.arange(predictions.shape[1])
        return predictions[order[first, columns], columns]


def _last(stages: Iterator[FloatArray]) -> FloatArray:
    *_, last = stages
    return last


for _kind in (AdaBoostClassifier, AdaBoostRegressor):
    _kind.__doc__ = f"{_kind.__doc__}\n{_AdaBoost.__doc__}"
