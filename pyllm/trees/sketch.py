"""Quantiles of more values than memory holds.

A sketch keeps weighted values; where there are more than `size` distinct ones, each stands for an
equal share of the weight around it. Two sketches of as many blocks are merged and reduced to `size`
again, as binary numbers are added up. Each reduction moves ranks by at most half a share,
so ranks are off by at most log2(blocks) / (2 size) of the weight (Munro and Paterson 1980). Up to
`size` distinct values nothing is lost.
"""

import numpy as np

SIZE = 1 << 12

_Summary = tuple[np.ndarray, np.ndarray]  # rising distinct values, their weights


class QuantileSketch:
    """The values of one feature, fed block by block; the same blocks give the same sketch."""

    def __init__(self, size: int = SIZE) -> None:
        self._size = size
        self._levels: list[_Summary | None] = []  # level i stands for 2^i blocks

    def add(self, values: np.ndarray, weight: np.ndarray | None = None) -> None:
        """Add a block; NaN is left out."""
        known = ~np.isnan(values)
        weights = np.ones(len(values)) if weight is None else weight
        summary = self._reduce(values[known].astype(np.float64), weights[known])
        for i, level in enumerate(self._levels):
            if level is None:
                self._levels[i] = summary
                return
            summary = self._merge(level, summary)
            self._levels[i] = None
        self._levels.append(summary)

    def summary(self) -> _Summary:
        """Rising distinct values and their weights."""
        total: _Summary = (np.zeros(0), np.zeros(0))
        for level in self._levels:
            if level is not None:
                total = _distinct(*_join(total, level))
        return total

    def _merge(self, a: _Summary, b: _Summary) -> _Summary:
        return self._reduce(*_join(a, b))

    def _reduce(self, values: np.ndarray, weights: np.ndarray) -> _Summary:
        values, weights = _distinct(values, weights)
        if len(values) <= self._size:
            return values, weights
        upto = np.cumsum(weights)
        share = upto[-1] / self._size
        middles = (np.arange(self._size) + 0.5) * share
        kept, counts = np.unique(np.searchsorted(upto, middles), return_counts=True)
        return values[kept], counts * share


def _join(a: _Summary, b: _Summary) -> _Summary:
    return np.concatenate([a[0], b[0]]), np.concatenate([a[1], b[1]])


def _distinct(values: np.ndarray, weights: np.ndarray) -> _Summary:
    values, weights = values[weights > 0], weights[weights > 0]
    distinct, group = np.unique(values, return_inverse=True)
    return distinct, np.bincount(group, weights, len(distinct))
