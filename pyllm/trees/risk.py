"""Risks of the nodes of a tree, for pruning: what a node's rows lose if it is a leaf.

Each takes

    tree, leaf: a tree, and (n,) the leaf of each row.
    target: (n, outputs); what outputs lose is added.
    weight: (n,), not all 0.

and returns (n_nodes,), per weight of all rows.
"""

import numpy as np

from pyllm import _cpu
from pyllm.trees.tree import Tree


def squared_risk(
    tree: Tree, leaf: np.ndarray, target: np.ndarray, weight: np.ndarray
) -> np.ndarray:
    """Squares of the targets around a node's mean; best of targets that are centred at 0."""
    total, squares, sums = _sums(tree, leaf, (target * target).sum(1), target, weight)
    explained = np.sum(sums**2, axis=1) / np.maximum(total, 1e-300)
    return np.maximum(squares - explained, 0.0) / weight.sum()


def likelihood_risk(
    tree: Tree, leaf: np.ndarray, target: np.ndarray, weight: np.ndarray, criterion: str
) -> np.ndarray:
    """By how much the log-likelihood of a node's mean falls short of the best; criteria as in
    `TreeParameters`."""
    if criterion == "bernoulli":
        target = np.hstack([target, 1.0 - target])
    total, best, sums = _sums(tree, leaf, _x_log(target, target).sum(1), target, weight)
    mean = sums / np.maximum(total, 1e-300)[:, np.newaxis]
    return np.maximum(best - _x_log(sums, mean).sum(1), 0.0) / weight.sum()


def absolute_risk(
    tree: Tree, leaf: np.ndarray, target: np.ndarray, weight: np.ndarray
) -> np.ndarray:
    """Absolute errors of the targets around a node's median."""
    risk = np.zeros(tree.n_nodes)
    ends = np.cumsum(np.bincount(leaf, minlength=tree.n_nodes))
    inside = np.split(np.argsort(leaf, kind="stable"), ends[:-1])
    for node in range(tree.n_nodes - 1, -1, -1):  # children come after their parent
        if tree.feature[node] >= 0:
            children = tree.left[node], tree.right[node]
            inside[node] = np.concatenate([inside[child] for child in children])
            for child in children:
                inside[child] = inside[child][:0]
        rows = inside[node]
        here = np.zeros(len(rows), np.int32)
        for column in target[rows].T:
            y = np.ascontiguousarray(column)
            median = _cpu.tree_leaf_quantiles(y, here, 1, 0.5, weight[rows])[0]
            risk[node] += np.sum(weight[rows] * np.abs(y - median))
    return risk / weight.sum()


def _sums(
    tree: Tree, leaf: np.ndarray, own: np.ndarray, target: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """By node, sums of weights, of `own` (n,), and of targets (n_nodes, outputs)."""
    columns = [weight, weight * own, *(weight * column for column in target.T)]
    sums = np.stack([np.bincount(leaf, column, tree.n_nodes) for column in columns], axis=1)
    for node in np.flatnonzero(tree.feature >= 0)[::-1].tolist():
        sums[node] = sums[tree.left[node]] + sums[tree.right[node]]
    return sums[:, 0], sums[:, 1], sums[:, 2:]


def _x_log(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """x log y, 0 where x is."""
    return x * np.log(np.where(x > 0, y, 1.0))
