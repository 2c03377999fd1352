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
    return np.array(_cpu.tree_cuts(*_in_order(values, weight), max_bin))


def find_bins(
    values: np.ndarray, max_bin: int, weight: np.ndarray | None = None
) -> tuple[np.ndarray, int, float]:
    """The same cuts, the bin that weighs most, and its share of the values that are counted."""
    ordered, weight = _in_order(values, weight)
    cuts = np.array(_cpu.tree_cuts(ordered, weight, max_bin))
    upto = np.searchsorted(ordered, cuts, side="right")
    if weight is not None:
        upto = np.append(0.0, np.cumsum(weight))[upto]
    total = len(ordered) if weight is None else weight.sum()
    weights = np.diff(upto, prepend=0, append=total)
    usual = int(weights.argmax())
    return cuts, usual, float(weights[usual] / total) if total > 0 else 1.0


def _in_order(
    values: np.ndarray, weight: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Rising float64 values that count, and their weights."""
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
    return ordered.astype(np.float64, copy=False), weight
