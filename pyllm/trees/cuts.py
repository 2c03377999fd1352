"""Where a feature is cut into bins."""

import numpy as np

from pyllm import _cpu


def find_cuts(values: np.ndarray, max_bin: int, weight: np.ndarray | None = None) -> np.ndarray:
    """Cuts between bins of about equal weight.

    Args:
        values: (n,) float, in any order; NaN and what weighs 0 are left out.
        max_bin: the most bins to make.
        weight: (n,) float64, not negative; None: all 1.

    Returns:
        (bins - 1,) float64, rising. Each lies midway between two neighbouring distinct values;
        up to max_bin distinct values get a bin each.
    """
    counts = ~np.isnan(values)
    if weight is not None:
        counts &= weight > 0
    if not counts.all():
        values = values[counts]
        weight = None if weight is None else weight[counts]
    if weight is None:
        ordered = np.sort(values)
    else:
        order = np.argsort(values, kind="stable")
        ordered, weight = values[order], np.ascontiguousarray(weight[order], np.float64)
    return np.array(_cpu.tree_cuts(ordered.astype(np.float64, copy=False), weight, max_bin))
