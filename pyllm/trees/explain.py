"""SHAP values and partial dependence: walks down the trees in the shares of their training rows."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pyllm import _cpu
from pyllm.trees.matrix import Dense, Sparse

if TYPE_CHECKING:
    from pyllm.trees.forest import Forest


def shap(
    forest: "Forest", X: Dense | Sparse, weight: str | None, *, interactions: bool
) -> np.ndarray:
    """What each feature adds to a row's margin (Lundberg, Erion and Lee 2018):
    (rows, outputs, features + 1), or with interactions (..., features + 1, features + 1)."""
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


def partial_dependence(
    forest: "Forest", features: Sequence[int], points: np.ndarray, weight: str | None
) -> np.ndarray:
    """(points, outputs): the mean margin where only `features` are known (Friedman 2001)."""
    known = [int(f) for f in features]
    outside = [f for f in known if not 0 <= f < forest.n_features]
    if outside or len(set(known)) < len(known):
        raise ValueError(
            f"features: expected different ones of 0 to {forest.n_features - 1}, got {known}"
        )
    at = np.asarray(points)
    at = at[:, np.newaxis] if at.ndim == 1 and len(known) == 1 else at
    if at.ndim != 2 or at.shape[1] != len(known) or at.dtype.kind not in "biuf":
        raise ValueError(
            f"points: expected numbers of shape (points, {len(known)}), got shape {at.shape} of "
            f"{at.dtype}"
        )
    order = np.argsort(known)
    mask = np.zeros(forest.n_features, np.bool_)
    mask[known] = True
    # Rows that hold the known features only: the others are never looked at.
    rows = Sparse(
        np.ascontiguousarray(at[:, order], np.float64).ravel(),
        np.tile(np.asarray(known, np.int64)[order], len(at)),
        np.arange(len(at) + 1, dtype=np.int64) * len(known),
        0.0,
    )
    result = _cpu.forest_partial_dependence(
        left_share=_left_share(forest, weight),
        known=mask,
        **rows.arguments(),
        **forest.traversal.of(forest, rows.dtype),
    )
    if forest.average:
        result /= forest.trees_of_outputs(range(forest.n_trees))
    result += forest.base_score
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
