"""New leaf values for an old forest: its splits stay, its leaves learn from other rows."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pyllm import _cpu
from pyllm.trees.forest import Forest
from pyllm.trees.leaf_values import average_upwards
from pyllm.trees.monotone import bound_values
from pyllm.trees.objective import Labels, Objective


def refit(
    forest: Forest,
    X: Any,
    labels: Labels,
    objective: Objective,
    *,
    learning_rate: Callable[[int], float] = lambda round: 0.1,
    reg_lambda: float = 1.0,
    keep: float = 0.0,
    monotone: Sequence[int] | None = None,
) -> Forest:
    """The forest with the leaf values that boosting on these rows would give its trees.

    Args:
        forest: a sum of trees, in rounds of one for each output, or with vector leaves.
        X: (n, n_features), as `Forest.predict` takes it.
        labels: of the rows, as `objective.prepare` gave them.
        learning_rate: of a round, from 0.
        reg_lambda: L2 penalty of leaf values.
        keep: share of the old values; leaves that no row reaches keep all of theirs.
        monotone: (n_features,) 1 where predictions must not fall with a feature, -1 where they must
            not rise.

    Raises:
        ValueError: `keep` is no share, the forest averages, or the outputs differ.
    """
    if not 0.0 <= keep <= 1.0:
        raise ValueError(f"keep: expected 0 <= keep <= 1, got {keep}")
    if forest.average or forest.n_outputs != objective.n_outputs:
        raise ValueError(f"forest: expected a boosted one of {objective.n_outputs} outputs")
    leaves = forest.leaves(X)
    n, outputs = labels.n_samples, forest.n_outputs
    margin = np.zeros((outputs, n)) + forest.base_score[:, np.newaxis]
    gradient, hessian = np.empty((2, outputs, n), np.float32)
    vector = forest.value.shape[1] == outputs
    trees = []
    for t, tree in enumerate(forest.trees()):
        round, k = (t, 0) if vector else divmod(t, outputs)
        if vector or k == 0:
            objective.derivatives(margin, labels, gradient, hessian)
        leaf = np.ascontiguousarray(leaves[:, t])
        reached = np.bincount(leaf, minlength=tree.n_nodes) > 0
        value = tree.value.copy()
        for column in range(value.shape[1]):
            output = k + column
            if objective.renews_leaves:
                new = objective.renew(
                    margin, labels, output, leaf, tree.n_nodes, labels.row_weight, None
                )
            else:
                g = np.bincount(leaf, gradient[output], tree.n_nodes)
                h = np.bincount(leaf, hessian[output], tree.n_nodes)
                new = -g / np.maximum(h + reg_lambda, 1e-300)
            new *= learning_rate(round)
            value[reached, column] *= keep
            value[reached, column] += (1.0 - keep) * new[reached]
        tree.value = value
        for column in range(value.shape[1]):
            average_upwards(tree, column)
        if monotone is not None:
            bound_values(tree, monotone)
        for column in range(value.shape[1]):
            added = np.ascontiguousarray(tree.value[:, column])
            _cpu.tree_add_leaf_values(margin[k + column], leaf, added)
        trees.append(tree)
    return forest.with_trees(trees, forest.tree_output)
