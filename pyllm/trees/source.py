"""What a data set is read from: an array, a sparse matrix, or blocks of rows.

A source answers two questions: what values does a feature have (for its cuts), and what are the
rows, block by block, or the entries of a sparse matrix (for their codes). None makes the data
dense.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

import numpy as np

from pyllm.trees.matrix import Dense, read_columns, read_matrix, read_rows
from pyllm.trees.sampled_rows import sampled_rows
from pyllm.trees.sketch import QuantileSketch
from pyllm.trees.sparse_source import ColumnSource, EntrySource


class RowSource(Protocol):
    """A source that is read by rows."""

    n_samples: int
    n_features: int

    def distinct(self, feature: int) -> tuple[np.ndarray, np.ndarray]:
        """The distinct values of a feature over all rows, and how often each occurs."""

    def values(self, feature: int) -> tuple[np.ndarray, np.ndarray | None]:
        """(n,) values of a feature and their weights; None: all weigh the same."""

    def blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        """(first row, rows as an array), from the first row to the last."""


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


class BlockSource:
    """Blocks of rows that are read twice, once for the cuts and once for the codes.

    Args:
        X: an object whose iterator gives the blocks, each time from the first, or a function that
            returns such an iterator.
    """

    def __init__(self, X: Any, weight: np.ndarray | None) -> None:
        self._open: Callable[[], Iterable[Any]] = X if callable(X) else lambda: X
        self._sketches: list[QuantileSketch] = []
        self.n_samples = self.n_features = 0
        for block in self._open():
            self._count_in(self._read(block), weight)
        if not self._sketches:
            raise ValueError("X: expected at least one block of rows")
        if weight is not None and len(weight) != self.n_samples:
            raise ValueError(f"weight: expected shape ({self.n_samples},), got {weight.shape}")

    def values(self, feature: int) -> tuple[np.ndarray, np.ndarray | None]:
        return self._sketches[feature].summary()

    def distinct(self, feature: int) -> tuple[np.ndarray, np.ndarray]:
        pairs = [np.unique(block[:, feature], return_counts=True) for _, block in self.blocks()]
        values, group = np.unique(np.concatenate([v for v, _ in pairs]), return_inverse=True)
        counts = np.concatenate([c for _, c in pairs])
        return values, np.bincount(group, counts, len(values)).astype(np.int64)

    def blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        first = 0
        for given in self._open():
            block = self._read(given)
            if first + len(block) > self.n_samples:
                break
            yield first, block
            first += len(block)
        else:
            if first == self.n_samples:
                return
        raise ValueError(
            f"X: gave {self.n_samples} rows at first and another number when read again"
        )

    def _read(self, block: Any) -> np.ndarray:
        if hasattr(block, "toarray"):
            block = block.toarray()
        shape = np.shape(block)
        if len(shape) != 2:
            raise ValueError(f"X: expected blocks of shape (rows, features), got {shape}")
        return read_dense(block, self.n_features or shape[1])

    def _count_in(self, block: np.ndarray, weight: np.ndarray | None) -> None:
        if not self._sketches:
            self.n_features = block.shape[1]
            self._sketches = [QuantileSketch() for _ in range(self.n_features)]
        rows = slice(self.n_samples, self.n_samples + len(block))
        self.n_samples += len(block)
        if weight is not None and len(weight) < self.n_samples:
            raise ValueError(f"weight: expected one a row, got {len(weight)}")
        for f, sketch in enumerate(self._sketches):
            sketch.add(block[:, f], None if weight is None else weight[rows])


def are_blocks(X: Any) -> bool:
    """Whether X is blocks of rows instead of a matrix.

    Raises:
        ValueError: X is an iterator that can be read only once.
    """
    if hasattr(X, "shape") or hasattr(X, "__array__"):
        return False
    if isinstance(X, (list, tuple)):
        return len(X) > 0 and all(getattr(block, "ndim", 0) == 2 for block in X)
    if callable(X):
        return True
    if hasattr(X, "__next__"):
        raise ValueError(
            "X: blocks are read twice; pass a function that returns the iterator, or an object "
            "whose __iter__ starts anew"
        )
    return hasattr(X, "__iter__")


def read_dense(array: Any, n_features: int) -> np.ndarray:
    """(rows, n_features) float32 or float64.

    Raises:
        ValueError: it is anything else.
    """
    matrix = read_matrix(array, n_features)
    assert isinstance(matrix, Dense)
    return matrix.array


def open_source(
    X: Any, weight: np.ndarray | None, by_columns: bool = False
) -> RowSource | ColumnSource | EntrySource:
    """The source that X calls for; by_columns: a sparse one of which each column can be read.

    Raises:
        ValueError: X is no matrix of numbers.
    """
    if are_blocks(X):
        return BlockSource(X, weight)
    shape = np.shape(X) if not hasattr(X, "shape") else X.shape
    if len(shape) != 2:
        raise ValueError(f"X: expected shape (rows, features), got shape {tuple(shape)}")
    if hasattr(X, "indptr"):
        if by_columns or X.format != "csr":
            return ColumnSource(read_columns(X, int(shape[1])), weight)
        return EntrySource(read_rows(X, int(shape[1])), int(shape[1]), weight)
    return DenseSource(read_dense(X, int(shape[1])), weight)
