"""Bagging of any estimator."""

from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, clone
from sklearn.metrics import r2_score
from sklearn.utils import _safe_indexing, check_random_state, get_tags
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
from pyllm.ensemble.resampling import Bootstrap
from pyllm.trees.checks import require_whole

FloatArray = NDArray[np.float64]


class _Bagging(BaseEstimator):
    """
    Parameters
    ----------
    estimator : estimator or None, default=None
        What is bagged; None: a decision tree.
    n_estimators : int, default=10
    max_samples : int, float or None, default=None
        Rows that each estimator draws: how many, or a share of all.
    max_features : int or float, default=1.0
        Features that each estimator draws: how many, or a share of them.
    bootstrap : bool, default=True
        Draw rows with replacement. Draws go by what rows hold, not by where they stand, and by
        their weights: see `pyllm.ensemble.resampling`.
    bootstrap_features : bool, default=False
        Draw features with replacement.
    oob_score : bool, default=False
        Measure on the rows that each estimator did not draw.
    random_state : int, RandomState or None, default=None
    n_jobs : int or None, default=None
        Estimators fitted at a time, by joblib.

    Attributes
    ----------
    estimators_ : list of estimators
    estimators_samples_ : list of ndarrays of the rows drawn, estimators_features_ : of the features
    oob_score_ : float
        Accuracy, or R^2, on rows out of the bag. Rows that every estimator drew are left out.
    oob_decision_function_ : (n_samples, n_classes), oob_prediction_ : (n_samples,)
    classes_, n_features_in_, feature_names_in_
    """

    def __init__(
        self,
        estimator: Any = None,
        *,
        n_estimators: int = 10,
        max_samples: int | float | None = None,
        max_features: int | float = 1.0,
        bootstrap: bool = True,
        bootstrap_features: bool = False,
        oob_score: bool = False,
        random_state: Any = None,
        n_jobs: int | None = None,
    ) -> None:
        self.estimator = estimator
        self.n_estimators = n_estimators
        self.max_samples = max_samples
        self.max_features = max_features
        self.bootstrap = bootstrap
        self.bootstrap_features = bootstrap_features
        self.oob_score = oob_score
        self.random_state = random_state
        self.n_jobs = n_jobs

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

    def _read_target(self, y: Any) -> NDArray:
        raise NotImplementedError

    def _score_out_of_bag(self, y: NDArray, sums: FloatArray, votes: NDArray) -> None:
        raise NotImplementedError

    def _vote(self, fitted: Any, X: Any) -> FloatArray:
        """(n, columns) to be averaged: predictions, or probabilities of all classes."""
        raise NotImplementedError

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """Fit each estimator on its draw.

        Args:
            X: (n_samples, n_features), array or sparse matrix.
            y: (n_samples,).
            sample_weight: (n_samples,), not negative. A whole number is the same as the row so
                many times; other weights make rows likelier to be drawn.

        Raises:
            ValueError: something does not fit; the message names it.
        """
        require_whole("n_estimators", self.n_estimators, 1)
        if self.oob_score and not self.bootstrap:
            raise ValueError("oob_score: expected False where bootstrap is False")
        X = self._read(X, reset=True)
        y = self._read_target(y)
        check_consistent_length(X, y)
        weight, X, (y,) = keep_weighted(read_weight(sample_weight, X), X, y)
        number = np.unique(y, return_inverse=True)[1]
        draws = Bootstrap(X, number, weight, self.max_samples)
        seeds = check_random_state(self.random_state).randint(
            np.iinfo(np.int32).max, size=self.n_estimators
        )
        counts = [
            draws.draw(int(seed)) if self.bootstrap else draws.draw_without_replacement(int(seed))
            for seed in seeds
        ]
        drawn = [self._features(int(seed)) for seed in seeds]
        fits = joblib.Parallel(n_jobs=self.n_jobs, return_as="generator")(
            joblib.delayed(_fit_one)(self._estimator(), X, y, c, features, int(seed))
            for c, features, seed in zip(counts, drawn, seeds, strict=True)
        )
        estimators, interrupted = [], None
        try:
            for fitted in fits:
                estimators.append(fitted)
        except KeyboardInterrupt as e:
            if not estimators:
                self.__dict__.pop("estimators_", None)  # of other classes, perhaps
                raise
            interrupted = e  # the estimators so far are a model
        n = len(estimators)
        self.estimators_: list[Any] = estimators
        self.estimators_features_ = drawn[:n]
        self.estimators_samples_ = [np.repeat(np.arange(len(c)), c) for c in counts[:n]]
        if self.oob_score:
            self._measure_out_of_bag(X, y, counts[:n])
        if interrupted is not None:
            raise interrupted
        return self

    def _features(self, seed: int) -> NDArray[np.intp] | None:
        """The features of an estimator; None: all as they stand."""
        n, given = self.n_features_in_, self.max_features
        share = isinstance(given, (float, np.floating))
        count = max(1, int(given * n)) if share else int(given)
        if not given > 0 or count > n:
            raise ValueError(
                f"max_features: expected a share of the features or 1 to {n} of them, got {given}"
            )
        if count == n and not self.bootstrap_features:
            return None
        rng = np.random.Generator(np.random.Philox(key=[seed, 1]))
        return np.sort(rng.choice(n, count, replace=self.bootstrap_features))

    def _read(self, X: Any, *, reset: bool) -> Any:
        tags = self.__sklearn_tags__().input_tags
        return validate_data(
            self,
            X,
            accept_sparse=("csr", "csc") if tags.sparse else False,
            ensure_all_finite=not tags.allow_nan,
            reset=reset,
        )

    def _measure_out_of_bag(self, X: Any, y: NDArray, counts: list[NDArray[np.int64]]) -> None:
        sums: Any = 0.0
        votes = np.zeros(len(y))
        for fitted, features, drawn in zip(
            self.estimators_, self.estimators_features_, counts, strict=True
        ):
            out = np.flatnonzero(drawn == 0)
            if len(out):
                given = self._vote(fitted, _columns(X[out], features))
                if np.isscalar(sums):
                    sums = np.zeros((len(y), given.shape[1]))
                sums[out] += given
                votes[out] += 1
        if not votes.any():
            raise ValueError("oob_score: every estimator drew every row")
        self._score_out_of_bag(y, sums, votes)

    def _means(self, X: Any) -> FloatArray:
        check_is_fitted(self)
        X = self._read(X, reset=False)
        given = joblib.Parallel(n_jobs=self.n_jobs)(
            joblib.delayed(self._vote)(fitted, _columns(X, features))
            for fitted, features in zip(self.estimators_, self.estimators_features_, strict=True)
        )
        return np.mean(given, axis=0)


def _columns(X: Any, features: NDArray[np.intp] | None) -> Any:
    return X if features is None else X[:, features]


def _fit_one(
    estimator: Any,
    X: Any,
    y: NDArray,
    counts: NDArray[np.int64],
    features: NDArray[np.intp] | None,
    seed: int,
) -> Any:
    fitted = clone(estimator)
    seeds = {
        name: seed
        for name in fitted.get_params()
        if name == "random_state" or name.endswith("__random_state")
    }
    fitted.set_params(**seeds)
    X = _columns(X, features)
    if has_fit_parameter(fitted, "sample_weight"):
        return fitted.fit(X, y, sample_weight=counts.astype(np.float64))
    rows = np.repeat(np.arange(len(counts)), counts)
    return fitted.fit(_safe_indexing(X, rows), y[rows])


class BaggingClassifier(ClassifierMixin, _Bagging):
    """Classifiers on bootstrap draws (Breiman, 1996); probabilities, or votes, are averaged."""

    classes_: NDArray

    def _estimator(self) -> Any:
        return DecisionTreeClassifier() if self.estimator is None else self.estimator

    def _read_target(self, y: Any) -> NDArray:
        if y is None:
            raise ValueError("y: requires y to be passed, but the target y is None")
        y = column_or_1d(y, warn=True)
        check_classification_targets(y)
        self.classes_ = np.unique(y)
        self.n_classes_ = len(self.classes_)
        return y

    def _vote(self, fitted: Any, X: Any) -> FloatArray:
        # A draw may lack a class: its estimator knows fewer.
        if hasattr(fitted, "predict_proba"):
            p = np.zeros((X.shape[0], self.n_classes_))
            p[:, np.searchsorted(self.classes_, fitted.classes_)] = fitted.predict_proba(X)
            return p
        return np.eye(self.n_classes_)[np.searchsorted(self.classes_, fitted.predict(X))]

    def predict_proba(self, X: Any) -> FloatArray:
        """(n_samples, n_classes): the mean of the estimators' probabilities."""
        return self._means(X)

    def predict_log_proba(self, X: Any) -> FloatArray:
        """log(predict_proba(X))."""
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def predict(self, X: Any) -> NDArray:
        """(n_samples,): the most likely class; of equal ones the first."""
        index = self._means(X).argmax(1)
        return self.classes_[index]

    def _score_out_of_bag(self, y: NDArray, sums: FloatArray, votes: NDArray) -> None:
        some = votes > 0
        self.oob_decision_function_ = np.full_like(sums, np.nan)
        self.oob_decision_function_[some] = sums[some] / votes[some, np.newaxis]
        guess = self.classes_[sums[some].argmax(1)]
        self.oob_score_ = float(np.mean(guess == y[some]))


class BaggingRegressor(RegressorMixin, _Bagging):
    """Regressors on bootstrap draws (Breiman, 1996); predictions are averaged."""

    def _estimator(self) -> Any:
        return DecisionTreeRegressor() if self.estimator is None else self.estimator

    def _read_target(self, y: Any) -> NDArray:
        if y is None:
            raise ValueError("y: requires y to be passed, but the target y is None")
        y = column_or_1d(y, warn=True)
        return check_array(y, ensure_2d=False, dtype=np.float64, input_name="y")

    def _vote(self, fitted: Any, X: Any) -> FloatArray:
        return np.asarray(fitted.predict(X), np.float64)[:, np.newaxis]

    def predict(self, X: Any) -> FloatArray:
        """(n_samples,): the mean of the estimators' predictions."""
        return self._means(X)[:, 0]

    def _score_out_of_bag(self, y: NDArray, sums: FloatArray, votes: NDArray) -> None:
        some = votes > 0
        self.oob_prediction_ = np.full(len(y), np.nan)
        self.oob_prediction_[some] = sums[some, 0] / votes[some]
        self.oob_score_ = float(r2_score(y[some], self.oob_prediction_[some]))


for _kind in (BaggingClassifier, BaggingRegressor):
    _kind.__doc__ = f"{_kind.__doc__}\n{_Bagging.__doc__}"
