"""What a data set is read from: an array, a sparse matrix, or blocks of rows.

A source answers two questions: what values does a feature have (for its cuts), and what are the
rows, block by block (for their codes). None copies the data as a whole.
"""

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np

from pyllm.trees.matrix import Dense, read_matrix

# Up to this many rows all values count for the cuts. Beyond, one row is drawn from each of as many
# equal stretches: a sample that the number of rows decides alone.
SAMPLE = 1 << 18
# Cells of a sparse matrix that are made dense at a time.
_CELLS = 1 << 22


class Source(Protocol):
    """Where the rows come from."""

    n_samples: int
    n_features: int

    def values(self, feature: int) -> tuple[np.ndarray, np.ndarray | None]:
        """(n,) values of a feature and their weights; None: all weigh the same."""

    def distinct(self, feature: int) -> tuple[np.ndarray, np.ndarray]:
        """The distinct values of a feature over all rows, and how often each occurs."""

    def blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        """(first row, rows as an array), from the first row to the last."""


def sampled_rows(n_rows: int) -> np.ndarray | None:
    """The rows that decide the cuts, rising; None: all."""
    if n_rows <= SAMPLE:
        return None
    jitter = np.random.Generator(np.random.Philox(key=n_rows)).random(SAMPLE)
    rows = ((np.arange(SAMPLE) + jitter) * (n_rows / SAMPLE)).astype(np.int64)
    return np.minimum(rows, n_rows - 1)


class DenseSource:
    """A float32 or float64 array of any strides, used as it stands."""

    def __init__(self, array: np.ndarray, weight: np.ndarray | None) -> None:
        self.n_samples, self.n_features = array.shape
        self._array = array
        self._rows = sampled_rows(self.n_samples)
        self._weight = weight if weight is None or self._rows is None else weight[self._rows]

    def values(self, feature: int) -> tuple[np.ndarray, np.ndarray | None]:
        column = self._array[:, feature]
        return column if self._rows is None else column[self._rows], self._weight

    def distinct(self, feature: int) -> tuple[np.ndarray, np.ndarray]:
        return np.unique(self._array[:, feature], return_counts=True)

    def blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        yield 0, self._array


class SparseSource:
    """A SciPy CSR or CSC matrix; entries that are not stored are zeros."""

    def __init__(self, X: Any, weight: np.ndarray | None) -> None:
        self.n_samples, self.n_features = X.shape
        self._csr = X.tocsr()
        rows = sampled_rows(self.n_samples)
        self._sample = (self._csr if rows is None else self._csr[rows]).tocsc()
        self._sample.sum_duplicates()
        n = self._sample.shape[0]
        if weight is None:
            self._weight, self._total = None, float(n)
        else:
            self._weight = weight if rows is None else weight[rows]
            self._total = float(self._weight.sum())

    def values(self, feature: int) -> tuple[np.ndarray, np.ndarray | None]:
        begin, end = self._sample.indptr[feature : feature + 2]
        stored = np.asarray(self._sample.data[begin:end], np.float64)
        if self._weight is None:
            weight = np.ones(end - begin)
        else:
            weight = self._weight[self._sample.indices[begin:end]]
        absent = self._sample.shape[0] - (end - begin)
        if absent == 0:
            return stored, weight
        return np.append(stored, 0.0), np.append(weight, max(self._total - weight.sum(), 0.0))

    def distinct(self, feature: int) -> tuple[np.ndarray, np.ndarray]:
        return np.unique(self._csr[:, [feature]].toarray(), return_counts=True)

    def blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        step = max(1, _CELLS // max(self.n_features, 1))
        for begin in range(0, self.n_samples, step):
            yield begin, read_dense(self._csr[begin : begin + step].toarray(), self.n_features)


def read_dense(array: Any, n_features: int) -> np.ndarray:
    """(rows, n_features) float32 or float64.

    Raises:
        ValueError: it is anything else.
    """
    matrix = read_matrix(array, n_features)
    assert isinstance(matrix, Dense)
    return matrix.array


def open_source(X: Any, weight: np.ndarray | None) -> Source:
    """The source that X calls for.

    Raises:
        ValueError: X is no matrix of numbers.
    """
    shape = np.shape(X) if not hasattr(X, "shape") else X.shape
    if len(shape) != 2:
        raise ValueError(f"X: expected shape (rows, features), got shape {tuple(shape)}")
    matrix = read_matrix(X, int(shape[1]))
    return (
        DenseSource(matrix.array, weight) if isinstance(matrix, Dense) else SparseSource(X, weight)
    )
