"""Gradient boosting of rankings."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_array, check_consistent_length, column_or_1d

from pyllm.ensemble.boosting import GradientBoosting
from pyllm.ensemble.eval_sets import EvalSets, named_sets, one_each
from pyllm.ensemble.learner import threads
from pyllm.trees.boost import EvalSet
from pyllm.trees.losses import make_objective
from pyllm.trees.objective import FloatArray, Labels
from pyllm.trees.rank_metrics import ndcg


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
            X: (n_samples, n_features), see `TreeEstimator`; rows come query by query. Or a Dataset
                or blocks, as for classifiers.
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
            sets = named_sets(eval_set)
            extras = {
                name: one_each(name, given, sets)
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
        y = column_or_1d(y, warn=True)
        y = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y")
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
