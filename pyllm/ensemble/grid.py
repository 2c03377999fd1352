"""Where partial dependence is looked at: a grid over the values of a feature."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def grid_values(
    X: Any,
    feature: int,
    categories: list[Any] | None,
    custom: Any,
    resolution: int,
    percentiles: tuple[float, float],
) -> tuple[NDArray[np.float64], NDArray]:
    """Rising values of one feature as the forest reads them, and as its users know them.

    Args:
        X: encoded rows, an array or a CSR or CSC matrix.
        categories: of a categorical feature, in the order of their codes; else None.
        custom: the values to take, as users know them; None: from X.
        resolution, percentiles: see `ExplainedTrees.partial_dependence`.

    Raises:
        ValueError: nothing to lay a grid over, or an option out of range.
    """
    if resolution < 2:
        raise ValueError(f"grid_resolution: expected at least 2, got {resolution}")
    low, high = percentiles
    if not 0.0 <= low < high <= 1.0:
        raise ValueError(f"percentiles: expected 0 <= low < high <= 1, got {percentiles}")
    if categories is not None:
        return _category_grid(feature, categories, custom)
    if custom is not None:
        values = np.asarray(custom, np.float64)
        if values.ndim != 1 or not len(values):
            raise ValueError(f"custom_values: expected one axis of values, got {values.shape}")
        return values, values
    column = X[:, [feature]].toarray()[:, 0] if hasattr(X, "toarray") else X[:, feature]
    values = np.unique(column[np.isfinite(column)]).astype(np.float64)
    if not len(values):
        raise ValueError(f"X: feature {feature} has no finite values")
    if len(values) > resolution:
        ends = np.quantile(column[np.isfinite(column)], percentiles)
        if ends[0] == ends[1]:
            ends = values[[0, -1]]
        values = np.linspace(ends[0], ends[1], resolution)
    return values, values


def _category_grid(
    feature: int, categories: list[Any], custom: Any
) -> tuple[NDArray[np.float64], NDArray]:
    wanted = categories if custom is None else list(custom)
    code = {category: float(i) for i, category in enumerate(categories)}
    unknown = [category for category in wanted if category not in code]
    if unknown:
        raise ValueError(f"custom_values: feature {feature} has no category {unknown[0]!r}")
    return np.array([code[c] for c in wanted]), np.array(wanted)
