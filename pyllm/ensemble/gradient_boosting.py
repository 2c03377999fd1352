"""Gradient boosting as scikit-learn estimators."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.model_selection import train_test_split
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    check_array,
    check_consistent_length,
    check_is_fitted,
    column_or_1d,
)

from pyllm.ensemble.boosting import GradientBoosting, keep_weighted
from pyllm.ensemble.learner import draw_seed, read_weight, threads
from pyllm.trees.boost import EvalSet
from pyllm.trees.custom_loss import CustomLoss
from pyllm.trees.losses import make_objective
from pyllm.trees.objective import FloatArray, Labels, Objective
from pyllm.trees.rank_metrics import ndcg
from pyllm.trees.refit import refit

EvalSets = Sequence[tuple[Any, Any]] | dict[str, tuple[Any, Any]] | None


def _named(eval_set: EvalSets) -> dict[str, tuple[Any, Any]]:
    if eval_set is None:
        return {}
    if isinstance(eval_set, dict):
        return eval_set
    if isinstance(eval_set, tuple):
        raise TypeError("eval_set: expected a list of pairs (X, y), or a dict of them, got a tuple")
    return {f"valid_{i}": pair for i, pair in enumerate(eval_set)}


def _extra(name: str, given: Any, sets: dict[str, Any]) -> dict[str, Any]:
    """One entry of eval_sample_weight (...) for each eval set."""
    if given is None:
        return dict.fromkeys(sets)
    if isinstance(given, dict):
        return {key: given.get(key) for key in sets}
    if len(given) != len(sets):
        raise ValueError(f"{name}: expected one for each of {len(sets)} eval sets")
    return dict(zip(sets, given, strict=True))


class _Supervised(GradientBoosting):
    """fit() of classifiers and regressors, which differ in how they read y."""

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        base_margin: Any = None,
        eval_set: EvalSets = None,
        eval_sample_weight: Any = None,
        eval_base_margin: Any = None,
    ) -> Any:
        """Grow the trees.

        Args:
            X: (n_samples, n_features), see `TreeEstimator`.
            y: (n_samples,); (n_samples, n_targets) for several regression targets.
            sample_weight: (n_samples,), not negative. A whole number is the same as the row so many
                times.
            base_margin: (n_samples,) or (n_samples, n_outputs) to start from in place of a
                constant; pass the like to predict.
            eval_set: pairs (X, y) to measure after every round, or a dict of them by name.
            eval_sample_weight, eval_base_margin: one entry for each of them.

        Raises:
            ValueError: something does not fit; the message names it.
        """
        with threads(self.n_jobs):
            matrix = self._read(X, fitting=True)
            check_consistent_length(matrix, y)
            target = self._read_target(y)
            weight = self._weigh(read_weight(sample_weight, matrix), target)
            weight, matrix, (target, base_margin) = keep_weighted(
                weight, matrix, target, None if base_margin is None else np.asarray(base_margin)
            )
            objective = self._objective(target)
            evals = self._eval_sets(objective, eval_set, eval_sample_weight, eval_base_margin)
            if self.early_stopping_rounds is not None and not evals:
                matrix, target, weight, base_margin, held = self._hold_out(
                    matrix, target, weight, base_margin, objective
                )
                evals = [held]
            labels = objective.prepare(Labels(_outputs_first(target), weight))
            self._boost(matrix, labels, objective, evals, base_margin)
        return self

    def refit(self, X: Any, y: Any, sample_weight: Any = None, *, keep: float = 0.0) -> Any:
        """New leaf values from other rows; the splits stay (see `pyllm.trees.refit`).

        Args:
            X, y, sample_weight: as for fit; classes must be known.
            keep: share of the old values; leaves that no row reaches keep theirs.
        """
        check_is_fitted(self)
        if self.booster == "dart":
            raise ValueError("booster: expected gbtree to refit")
        with threads(self.n_jobs):
            matrix = self._read(X, fitting=False)
            check_consistent_length(matrix, y)
            labels = Labels(
                _outputs_first(self._read_eval_target(y)), read_weight(sample_weight, X)
            )
            self.forest_ = refit(
                self.forest_,
                matrix,
                self.objective_.prepare(labels),
                self.objective_,
                learning_rate=self._boost_parameters(0).rate,
                reg_lambda=self.reg_lambda,
                keep=keep,
            )
        return self

    def _read_target(self, y: Any) -> NDArray:
        raise NotImplementedError

    def _read_eval_target(self, y: Any) -> NDArray:
        raise NotImplementedError

    def _objective(self, target: NDArray) -> Objective:
        raise NotImplementedError

    def _weigh(self, weight: FloatArray | None, target: NDArray) -> FloatArray | None:
        return weight

    def _eval_sets(
        self, objective: Objective, eval_set: EvalSets, weights: Any, margins: Any
    ) -> list[EvalSet]:
        sets = _named(eval_set)
        weights = _extra("eval_sample_weight", weights, sets)
        margins = _extra("eval_base_margin", margins, sets)
        evals = []
        for name, (X, y) in sets.items():
            matrix = self._read(X, fitting=False)
            check_consistent_length(matrix, y)
            labels = Labels(
                _outputs_first(self._read_eval_target(y)), read_weight(weights[name], matrix)
            )
            evals.append(EvalSet(name, matrix, objective.prepare(labels), margins[name]))
        return evals

    def _hold_out(
        self,
        X: Any,
        target: NDArray,
        weight: FloatArray | None,
        base_margin: Any,
        objective: Objective,
    ) -> tuple[Any, NDArray, FloatArray | None, Any, EvalSet]:
        if not 0.0 < self.validation_fraction < 1.0:
            raise ValueError(
                f"validation_fraction: expected between 0 and 1, got {self.validation_fraction}"
            )
        rows, held = train_test_split(
            np.arange(len(target)),
            test_size=self.validation_fraction,
            random_state=draw_seed(self.random_state),
            stratify=target if isinstance(self, ClassifierMixin) else None,
        )
        rows, held = np.sort(rows), np.sort(held)

        def part(array: Any, at: Any) -> Any:
            return None if array is None else array[at]

        labels = Labels(_outputs_first(target[held]), part(weight, held))
        evaluation = EvalSet(
            "validation", X[held], objective.prepare(labels), part(base_margin, held)
        )
        return X[rows], target[rows], part(weight, rows), part(base_margin, rows), evaluation


def _outputs_first(target: NDArray) -> NDArray:
    return np.ascontiguousarray(target.T)


class GradientBoostingRegressor(RegressorMixin, _Supervised):
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
        if y is None:
            raise ValueError("y: requires y to be passed, but the target y is None")
        target = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y")
        if target.ndim > 2:
            raise ValueError(f"y: expected one or two axes, got shape {target.shape}")
        return target

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


class GradientBoostingClassifier(ClassifierMixin, _Supervised):
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


class GradientBoostingRanker(GradientBoosting):
    """Gradient boosting that orders the rows of a query.

    loss: "lambdarank" (None; NDCG) or "rank_map" (average precision), either with the number of
    best rows that pairs are made with ("lambdarank@10"; 30 without), a function or an Objective.

    Parameters and attributes: see `pyllm.ensemble.boosting.GradientBoosting`.

    Examples
    --------
    >>> import numpy as np
    >>> from pyllm.ensemble import GradientBoostingRanker
    >>> X = np.random.default_rng(0).normal(size=(300, 4))
    >>> grade = (X[:, 0] > 0).astype(int) + (X[:, 1] > 1)
    >>> ranker = GradientBoostingRanker(random_state=0).fit(X, grade, group=[100, 100, 100])
    >>> ranker.score(X, grade, group=[100, 100, 100]) > 0.9
    True
    """

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.target_tags.positive_only = True
        return tags

    def fit(
        self,
        X: Any,
        y: Any,
        *,
        query_weight: Any = None,
        group: Any = None,
        qid: Any = None,
        base_margin: Any = None,
        eval_set: EvalSets = None,
        eval_group: Any = None,
        eval_qid: Any = None,
        eval_query_weight: Any = None,
        eval_base_margin: Any = None,
    ) -> "GradientBoostingRanker":
        """Grow the trees.

        Args:
            X: (n_samples, n_features), see `TreeEstimator`; rows come query by query.
            y: (n_samples,) grades of relevance, 0 to 60; whole ones as a rule.
            query_weight: (n_queries,), not negative.
            group: (n_queries,) how many rows each query has. Without it and qid all rows are one
                query.
            qid: (n_samples,) the query of each row instead; equal ones next to each other.
            eval_set, eval_group, eval_qid, ...: as for fitting, one entry for each eval set.

        Raises:
            ValueError: something does not fit; the message names it.
        """
        if self.class_weight is not None:
            raise ValueError("class_weight: expected None for ranking")
        loss = "lambdarank" if self.loss is None else self.loss
        if isinstance(loss, str) and loss.partition("@")[0] not in ("lambdarank", "rank_map"):
            raise ValueError(f"loss: expected lambdarank or rank_map, got {loss!r}")
        objective = make_objective(loss)
        with threads(self.n_jobs):
            matrix = self._read(X, fitting=True)
            labels = self._labels(matrix, y, query_weight, group, qid)
            sets = _named(eval_set)
            extras = {
                name: _extra(name, given, sets)
                for name, given in (
                    ("eval_group", eval_group),
                    ("eval_qid", eval_qid),
                    ("eval_query_weight", eval_query_weight),
                    ("eval_base_margin", eval_base_margin),
                )
            }
            evals = []
            for name, (eval_X, eval_y) in sets.items():
                part = {key: values[name] for key, values in extras.items()}
                eval_matrix = self._read(eval_X, fitting=False)
                eval_labels = self._labels(
                    eval_matrix,
                    eval_y,
                    part["eval_query_weight"],
                    part["eval_group"],
                    part["eval_qid"],
                )
                evals.append(
                    EvalSet(
                        name, eval_matrix, objective.prepare(eval_labels), part["eval_base_margin"]
                    )
                )
            if self.early_stopping_rounds is not None and not evals:
                raise ValueError("early_stopping_rounds: ranking needs an eval_set to watch")
            self._boost(matrix, objective.prepare(labels), objective, evals, base_margin)
        return self

    def predict(self, X: Any) -> FloatArray:
        """(n_samples,): scores; the higher, the further up in its query."""
        return self._margin(X)[0]

    def score(
        self, X: Any, y: Any, *, query_weight: Any = None, group: Any = None, qid: Any = None
    ) -> float:
        """Mean NDCG over the queries."""
        matrix = self._read(X, fitting=False)
        labels = self._labels(matrix, y, query_weight, group, qid)
        return ndcg(labels, self._margin(X))

    def _labels(self, X: Any, y: Any, query_weight: Any, group: Any, qid: Any) -> Labels:
        if y is None:
            raise ValueError("y: requires y to be passed, but the target y is None")
        y = check_array(column_or_1d(y, warn=True), ensure_2d=False, dtype=np.float64)
        check_consistent_length(X, y)
        offset = query_offset(len(y), group, qid)
        weight = None
        if query_weight is not None:
            weight = check_array(
                query_weight, ensure_2d=False, dtype=np.float64, input_name="query_weight"
            )
            if (weight < 0).any() or not weight.any():
                raise ValueError("query_weight: expected none below 0, and not all 0")
        return Labels(y, weight, offset)


def query_offset(n: int, group: Any, qid: Any) -> NDArray[np.int64]:
    """(queries + 1,): where each query starts, from sizes or from the query of each row."""
    if group is not None and qid is not None:
        raise ValueError("group: expected group or qid, not both")
    if qid is not None:
        ids = column_or_1d(qid)
        if len(ids) != n:
            raise ValueError(f"qid: expected {n} values, got {len(ids)}")
        starts = np.flatnonzero(np.append(True, ids[1:] != ids[:-1]))
        if len(np.unique(ids)) != len(starts):
            raise ValueError("qid: expected the rows of a query next to each other")
        return np.append(starts, n).astype(np.int64)
    if group is None:
        return np.array([0, n], np.int64)
    sizes = np.asarray(group)
    if sizes.ndim != 1 or sizes.dtype.kind not in "iu" or (sizes < 0).any() or sizes.sum() != n:
        raise ValueError(f"group: expected sizes of queries that sum to {n} rows, got {group!r}")
    return np.append(0, np.cumsum(sizes)).astype(np.int64)
