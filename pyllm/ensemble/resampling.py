"""Bootstrap draws that go by what rows hold, not by where they stand.

Rows are put in the order of a 64-bit hash of their contents, and draws are points on the axis of
their cumulative weights. So the same rows in another order give the same model, and a row of
weight 2 is drawn as the row twice would be: scikit-learn's definition of sample weights, which its
own forests meet on average only.

A `Dataset` has no contents any more: its rows are drawn by where they stand.

Weights that are whole numbers, of a sum below 2^31, are such counts, and as many rows are drawn as
they sum to; other weights only say how likely a row is, and as many are drawn as there are rows.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyllm import _cpu
from pyllm.trees.dataset import Dataset

# Any odd numbers will do; these are the multipliers of splitmix64.
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_STEP = np.uint64(0x9E3779B97F4A7C15)

_MOST_DRAWS = float(1 << 31)


def _mix(bits: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """splitmix64's finaliser: every bit depends on all."""
    bits = (bits ^ (bits >> np.uint64(30))) * _MIX[0]
    bits = (bits ^ (bits >> np.uint64(27))) * _MIX[1]
    return bits ^ (bits >> np.uint64(31))


def _bits(values: Any) -> NDArray[np.uint64]:
    return np.ascontiguousarray(values, np.float64).view(np.uint64)


def _hash(values: Any, salt: Any) -> NDArray[np.uint64]:
    """0 for zeros, stored or not, of either sign."""
    part = _mix(_bits(values) ^ salt)
    part[values == 0] = 0
    return part


def content_order(X: Any, y: NDArray) -> NDArray[np.intp]:
    """The rows in the order of their hash; equal rows as they stand."""
    n, n_features = X.shape
    salt = _mix(np.arange(1, n_features + 1, dtype=np.uint64) * _STEP)
    total = np.zeros(n, np.uint64)
    if hasattr(X, "indptr"):
        rows = X.tocsr()
        if not rows.has_canonical_format:
            rows = rows.copy()
            rows.sum_duplicates()
        part = _hash(rows.data, salt[rows.indices])
        filled = np.diff(rows.indptr) > 0
        total[filled] = np.add.reduceat(part, rows.indptr[:-1][filled])
    else:
        for f in range(n_features):
            total += _hash(X[:, f], salt[f])
    for column in np.atleast_2d(y.T):
        total = _mix(total + _bits(column))
    return np.argsort(total, kind="stable")


class Bootstrap:
    """Draws with replacement from weighted rows.

    max_samples: an integer is the number of draws, a float a share of the weights, None all.
    engine: the same draws, for `grow_averaged`.
    """

    def __init__(
        self,
        X: Any,
        y: NDArray,
        weight: NDArray[np.float64] | None,
        max_samples: int | float | None,
    ) -> None:
        n = X.shape[0]
        order = np.arange(n) if isinstance(X, Dataset) else content_order(X, y)
        weights = np.ones(n) if weight is None else weight[order]
        whole = weights.sum() < _MOST_DRAWS and bool((weights == np.floor(weights)).all())
        counts = weight is None or whole
        size = float(weights.sum()) if counts else float(n)
        if isinstance(max_samples, (int, np.integer)):
            if max_samples < 1:
                raise ValueError(f"max_samples: expected at least 1, got {max_samples}")
            size = float(max_samples)
        elif max_samples is not None:
            if not 0.0 < max_samples <= 1.0:
                raise ValueError(f"max_samples: expected 0 < max_samples <= 1, got {max_samples}")
            size *= max_samples
        self.order, self.size, self.n = order, max(1, round(size)), n
        self._weights = weights
        even = bool((weights == 1.0).all())
        self.engine = _cpu.TreeBootstrap(order, np.cumsum(weights), even, self.size)

    def draw(self, seed: int) -> NDArray[np.int64]:
        """(n,): how often each row is drawn."""
        return self.engine.draw(seed)

    def draw_without_replacement(self, seed: int) -> NDArray[np.int64]:
        """(n,): how often each row is taken; a row of weight 2 may be taken twice.

        Raises:
            ValueError: weights that are no whole numbers.
        """
        if (self._weights != np.floor(self._weights)).any():
            raise ValueError("sample_weight: expected whole numbers where bootstrap is False")
        copies = np.repeat(np.arange(self.n), self._weights.astype(np.int64))
        rng = np.random.Generator(np.random.Philox(key=seed))
        taken = np.argsort(rng.random(len(copies)), kind="stable")[: self.size]
        drawn = np.empty(self.n, np.int64)
        drawn[self.order] = np.bincount(copies[taken], minlength=self.n)
        return drawn
