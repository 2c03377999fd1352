"""SHAP values: what each feature adds to a row's margin (Lundberg, Erion and Lee 2018)."""

from typing import TYPE_CHECKING

import numpy as np

from pyllm import _cpu
from pyllm.trees.matrix import Dense, Sparse

if TYPE_CHECKING:
    from pyllm.trees.forest import Forest


def shap(
    forest: "Forest", X: Dense | Sparse, weight: str | None, *, interactions: bool
) -> np.ndarray:
    """(rows, outputs, features + 1), or with interactions (..., features + 1, features + 1)."""
    result = _cpu.forest_shap(
        left_share=_left_share(forest, weight),
        interactions=interactions,
        **X.arguments(),
        **forest.traversal.of(forest, X.dtype),
    )
    if forest.average:
        trees = forest.trees_of_outputs(range(forest.n_trees))
        result /= trees.reshape((-1,) + (1,) * (result.ndim - 2))
    expectation = result[..., -1, -1] if interactions else result[..., -1]
    expectation += forest.base_score
    return result


def _left_share(forest: "Forest", weight: str | None) -> np.ndarray:
    """The part of a split's training weight that goes left; a half where nothing is known."""
    if weight is None:
        weight = "count" if forest.count.any() else "cover"
    if weight not in ("count", "cover"):
        raise ValueError(f"weight: expected 'count' or 'cover', got {weight!r}")
    weights = getattr(forest, weight).astype(np.float64)
    share = np.full(len(weights), 0.5)
    split = np.flatnonzero(forest.feature >= 0)
    first = np.repeat(forest.tree_offset[:-1], np.diff(forest.tree_offset))[split]
    left, right = weights[first + forest.left[split]], weights[first + forest.right[split]]
    known = left + right > 0
    share[split[known]] = left[known] / (left + right)[known]
    return share
