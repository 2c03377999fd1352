"""Means of the trees that did not draw a row: a forest measured on its own training rows."""

import numpy as np
from numpy.typing import NDArray

from pyllm.trees.averaged import Averaged

FloatArray = NDArray[np.float64]


class OutOfBag:
    """Gathers, tree by tree, what each of n_samples rows gets from trees that did not draw it."""

    def __init__(self, n_samples: int, n_outputs: int) -> None:
        self._sums = np.zeros((n_samples, n_outputs))
        self._votes = np.zeros(n_samples, np.int64)

    def add(self, grown: Averaged) -> None:
        """Trees that were grown on draws, with the leaves of the rows."""
        assert grown.leaf_of_row is not None
        assert grown.drawn is not None
        for t, tree in enumerate(grown.forest.trees()):
            out = np.flatnonzero(grown.drawn[t] == 0)
            self._sums[out] += tree.value[grown.leaf_of_row[t, out]]
            self._votes[out] += 1

    def some(self) -> NDArray[np.bool_]:
        """(n_samples,) rows that some tree did not draw."""
        return self._votes > 0

    def means(self) -> FloatArray:
        """(n_samples, n_outputs); NaN in rows that every tree drew."""
        means = np.full_like(self._sums, np.nan)
        some = self.some()
        means[some] = self._sums[some] / self._votes[some, np.newaxis]
        return means
