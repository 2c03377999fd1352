"""How much a forest relies on each feature, read off its splits."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pyllm.trees.forest import Forest

KINDS = ("gain", "total_gain", "cover", "total_cover", "split")


def importance(forest: "Forest", kind: str = "gain") -> np.ndarray:
    """(n_features,) float64: "split" counts the splits on a feature; "total_gain" and
    "total_cover" add up their gain and cover, and "gain" and "cover" are the means a split.

    Raises:
        ValueError: another kind.
    """
    if kind not in KINDS:
        raise ValueError(f"kind: expected one of {', '.join(KINDS)}, got {kind!r}")
    splits = forest.feature >= 0
    feature = forest.feature[splits]
    count = np.bincount(feature, minlength=forest.n_features).astype(np.float64)
    if kind == "split":
        return count
    weight = getattr(forest, kind.removeprefix("total_"))[splits].astype(np.float64)
    total = np.bincount(feature, weights=weight, minlength=forest.n_features)
    return total if kind.startswith("total_") else total / np.maximum(count, 1)
