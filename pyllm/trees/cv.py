"""Cross-validation of boosting, all folds abreast."""

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyllm.trees.boost import Booster, EvalSet
from pyllm.trees.boost_parameters import BoostParameters
from pyllm.trees.checks import require_whole
from pyllm.trees.dataset import Dataset
from pyllm.trees.folds import Fold, grouped_folds, plain_folds, stratified_folds
from pyllm.trees.forest import Forest
from pyllm.trees.losses import make_objective
from pyllm.trees.metric import Metric, make_metric
from pyllm.trees.objective import FloatArray, Labels, Objective
from pyllm.trees.read_labels import read_labels
from pyllm.trees.tree_parameters import TreeParameters


@dataclass(frozen=True)
class CrossValidation:
    """mean and std: by metric, over the folds, after each round. best_round: how many rounds were
    best by the first metric. forests: each fold's model of so many rounds."""

    mean: dict[str, list[float]]
    std: dict[str, list[float]]
    best_round: int
    forests: list[Forest]


def cv(
    X: Any,
    y: Any,
    objective: str | Objective,
    parameters: BoostParameters | None = None,
    tree: TreeParameters | None = None,
    *,
    n_rounds: int = 100,
    folds: int | Iterable[Fold] = 5,
    metrics: Sequence[str | Metric] = (),
    weight: FloatArray | None = None,
    groups: Any = None,
    query_offset: NDArray[np.int64] | None = None,
    early_stopping_rounds: int | None = None,
    min_delta: float = 0.0,
    max_bin: int = 255,
    categorical: Sequence[int] = (),
) -> CrossValidation:
    """Boost on every fold at once, and measure each on the rows that it did not see.

    Args:
        X: (n_samples, n_features) array or CSR matrix.
        y: (n_samples,), or (n_outputs, n_samples) for several regression targets.
        objective: a name or an Objective ("softmax" needs `make_objective` and its n_classes).
        folds: how many, or pairs of row numbers (to train on, to measure). A number makes folds
            by class for class losses, by `groups` where given, by query for rankings.
        metrics: what to measure; empty: what suits the objective.
        weight: (n_samples,), for rankings (queries,).
        query_offset: rankings: query q is rows [query_offset[q], query_offset[q + 1]). Folds of
            your own must hold whole queries in their order.
        early_stopping_rounds: stop when the mean of the first metric over the folds got no better
            by more than min_delta for so many rounds.

    Raises:
        ValueError: something does not fit; the message names it.
    """
    objective = make_objective(objective)
    parameters, tree = parameters or BoostParameters(), tree or TreeParameters()
    require_whole("n_rounds", n_rounds, 1)
    if not hasattr(X, "shape"):
        X = np.asarray(X)
    labels = read_labels(y, X.shape[0], weight, query_offset)
    measured = [make_metric(m) for m in metrics or [objective.metric]]
    boosters = []
    for train, test in _folds(folds, labels, objective, groups, parameters.seed):
        own = copy.deepcopy(objective)
        watched = EvalSet("test", X[test], own.prepare(_part(labels, test)))
        fitted = own.prepare(_part(labels, train))
        data = Dataset(X[train], max_bin=max_bin, categorical=categorical, weight=fitted.row_weight)
        boosters.append(
            Booster(data, fitted, own, parameters, tree, eval_sets=[watched], metrics=measured)
        )
    if not boosters:
        raise ValueError("folds: expected one at least")
    sign = -1.0 if measured[0].higher_is_better else 1.0
    mean: dict[str, list[float]] = {m.name: [] for m in measured}
    std: dict[str, list[float]] = {m.name: [] for m in measured}
    lowest, best, weights = np.inf, 0, [b.dart.weights for b in boosters]
    for round in range(n_rounds):
        for booster in boosters:
            booster.step()
        for m in measured:
            values = [b.history["test"][m.name][-1] for b in boosters]
            mean[m.name].append(float(np.mean(values)))
            std[m.name].append(float(np.std(values)))
        now = sign * mean[measured[0].name][-1]
        if best == 0 or now < lowest - min_delta:
            lowest, best, weights = now, round + 1, [b.dart.weights for b in boosters]
        if early_stopping_rounds is not None and round + 1 - best >= early_stopping_rounds:
            break
    forests = [b.forest(best, w) for b, w in zip(boosters, weights, strict=True)]
    return CrossValidation(mean, std, best, forests)


def _folds(
    folds: int | Iterable[Fold], labels: Labels, objective: Objective, groups: Any, seed: int
) -> Iterable[Fold]:
    if not isinstance(folds, int):
        return folds
    if labels.query_offset is not None:
        sizes = np.diff(labels.query_offset)
        return grouped_folds(np.repeat(np.arange(len(sizes)), sizes), folds, seed)
    if groups is not None:
        if len(groups) != labels.n_samples:
            raise ValueError(f"groups: expected {labels.n_samples} values, got {len(groups)}")
        return grouped_folds(np.asarray(groups), folds, seed)
    if objective.name in ("log_loss", "softmax", "one_vs_all"):
        return stratified_folds(labels.target, folds, seed)
    return plain_folds(labels.n_samples, folds, seed)


def _part(labels: Labels, rows: NDArray[np.intp]) -> Labels:
    target = np.ascontiguousarray(labels.target[..., rows])
    if labels.query_offset is None:
        return Labels(target, None if labels.weight is None else labels.weight[rows])
    query = np.repeat(np.arange(len(labels.query_offset) - 1), np.diff(labels.query_offset))[rows]
    present, sizes = np.unique(query, return_counts=True)
    if (sizes != np.diff(labels.query_offset)[present]).any() or (np.diff(query) < 0).any():
        raise ValueError("folds: expected whole queries in their order")
    weight = None if labels.weight is None else labels.weight[present]
    return Labels(target, weight, np.append(0, np.cumsum(sizes)).astype(np.int64))
