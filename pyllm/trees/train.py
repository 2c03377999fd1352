"""Boosting in one call: rows or a binned `Dataset` in, a forest out."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyllm.trees.boost import Boosted, Booster, EvalSet, boost
from pyllm.trees.boost_parameters import BoostParameters
from pyllm.trees.checks import require_whole
from pyllm.trees.dataset import Dataset
from pyllm.trees.forest import Forest
from pyllm.trees.losses import make_objective
from pyllm.trees.metric import Metric, make_metric
from pyllm.trees.objective import FloatArray, Objective
from pyllm.trees.read_labels import read_eval_sets, read_labels
from pyllm.trees.tree_parameters import TreeParameters
from pyllm.trees.watch import Callback, EarlyStopping


def train(
    dataset: Dataset,
    y: Any,
    objective: str | Objective,
    parameters: BoostParameters | None = None,
    tree: TreeParameters | None = None,
    *,
    n_rounds: int = 100,
    weight: FloatArray | None = None,
    query_offset: NDArray[np.int64] | None = None,
    base_margin: FloatArray | None = None,
    eval_sets: Mapping[str, tuple[Any, Any]] | Sequence[EvalSet] = (),
    metrics: Sequence[str | Metric] = (),
    early_stopping_rounds: int | None = None,
    callbacks: Sequence[Callback] = (),
    start: tuple[Forest, Any] | None = None,
) -> Boosted:
    """Boost on a data set, which may have been larger than memory (see `Dataset`).

    Args:
        dataset: the rows; any number of calls may share it.
        y: (n_samples,), or (n_outputs, n_samples) for several regression targets.
        objective: a name or an Objective ("softmax" needs `make_objective` and its n_classes).
        weight: (n_samples,), for rankings (queries,).
        query_offset: rankings: query q is rows [query_offset[q], query_offset[q + 1]).
        base_margin: (n_samples, n_outputs) to start from; predictions need the like added.
        eval_sets: rows (X, y) to measure by name, or `EvalSet`s where they have weights, queries or
            base margins.
        metrics: what to measure; empty: what suits the objective.
        early_stopping_rounds: stop when the first metric on the last eval set got no better for
            so many rounds, and keep the rounds up to the best.
        callbacks: see `pyllm.trees.watch`.
        start: a forest to go on from, and the rows of `dataset` as its `predict` takes them.

    Returns:
        The forest, whose margins `objective.response` turns into predictions, and the history.
        Ctrl-C ends training after the last whole round: `Boosted.interrupted` tells.

    Raises:
        ValueError: something does not fit; the message names it.
        TypeError: no Dataset, or a pair that is none.

    Examples:
        >>> import numpy as np
        >>> from pyllm.trees import Dataset, train
        >>> X = np.random.default_rng(0).normal(size=(1000, 3))
        >>> y = X[:, 0] > X[:, 1]
        >>> boosted = train(Dataset([X[:500], X[500:]]), y, "log_loss", n_rounds=20)
        >>> bool(((boosted.forest.predict(X)[:, 0] > 0) == y).mean() > 0.95)
        True
    """
    require_whole("n_rounds", n_rounds, 1)
    objective = make_objective(objective)
    if not isinstance(dataset, Dataset):
        raise TypeError(f"dataset: expected a Dataset, got {type(dataset).__name__}")
    labels = objective.prepare(read_labels(y, dataset.n_samples, weight, query_offset))
    if isinstance(eval_sets, Mapping):
        eval_sets = read_eval_sets(eval_sets, objective)
    if start is not None and not (isinstance(start, tuple) and len(start) == 2):
        raise TypeError("start: expected a pair (Forest, rows)")
    forest, rows = (None, None) if start is None else start
    booster = Booster(
        dataset,
        labels,
        objective,
        parameters or BoostParameters(),
        tree or TreeParameters(),
        start=forest,
        start_margin=None if forest is None else forest.predict(rows),
        base_margin=base_margin,
        eval_sets=eval_sets,
        metrics=[make_metric(m) for m in metrics or [objective.metric]],
    )
    watching = list(callbacks)
    if early_stopping_rounds is not None:
        watching.append(EarlyStopping(early_stopping_rounds))
    return boost(booster, n_rounds, watching)
