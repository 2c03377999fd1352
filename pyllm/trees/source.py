"""What a data set is read from: an array, a sparse matrix, or blocks of rows.

A source answers two questions: what values does a feature have (for its cuts), and what are the
rows, block by block, or the entries, column by column (for their codes). None makes the data dense.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from pyllm import _cpu
from pyllm.trees.matrix import Columns, Dense, read_columns, read_matrix
from pyllm.trees.sketch import QuantileSketch

# Up to this many rows all values count for the cuts. Beyond, one row is drawn from each of as many
# equal stretches: a sample that the number of rows decides alone.
SAMPLE = 1 << 18


class Source(Protocol):
    """Where the rows come from."""

    n_samples: int
    n_features: int

    def distinct(self, feature: int) -> tuple[np.ndarray, np.ndarray]:
        """The distinct values of a feature over all rows, and how often each occurs."""


class RowSource(Source, Protocol):
    """A source that is read by rows."""

    def values(self, feature: int) -> tuple[np.ndarray, np.ndarray | None]:
        """(n,) values of a feature and their weights; None: all weigh the same."""

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
    """A sparse matrix by its columns; entries that are not stored are zeros."""

    def __init__(self, columns: Columns, weight: np.ndarray | None) -> None:
        self.columns = columns
        self.n_samples, self.n_features = columns.shape
        rows = sampled_rows(self.n_samples)
        self._weight = weight
        # How often a row is in the sample; None: all are, once.
        self._times: np.ndarray | None = None
        self._count, self._total = self.n_samples, float(self.n_samples)
        if rows is not None:
            self._times = np.bincount(rows, minlength=self.n_samples).astype(np.uint8)
            self._count, self._total = len(rows), float(len(rows))
        if weight is not None:
            self._total = float((weight if rows is None else weight[rows]).sum())

    def cuts(self, features: list[int], max_bin: int) -> list[np.ndarray]:
        """The cuts of some features, as `find_cuts`."""
        c = self.columns
        sample = (self._times, self._weight, self._count, self._total)
        cuts = _cpu.tree_column_cuts(c.data, c.indices, c.indptr, features, *sample, max_bin)
        return [np.array(each) for each in cuts]

    def drop_values(self) -> None:
        """Keep where the entries are, not what they are."""
        self.columns = replace(self.columns, data=self.columns.data[:0].copy())

    def distinct(self, feature: int) -> tuple[np.ndarray, np.ndarray]:
        begin, end = self.columns.indptr[feature : feature + 2]
        stored = self.columns.data[begin:end]
        absent = self.n_samples - len(stored)
        if absent == 0:
            return np.unique(stored, return_counts=True)
        values, counts = np.unique(np.append(stored, 0), return_counts=True)
        counts[np.searchsorted(values, 0)] += absent - 1
        return values, counts


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


def open_source(X: Any, weight: np.ndarray | None) -> RowSource | SparseSource:
    """The source that X calls for.

    Raises:
        ValueError: X is no matrix of numbers.
    """
    if are_blocks(X):
        return BlockSource(X, weight)
    shape = np.shape(X) if not hasattr(X, "shape") else X.shape
    if len(shape) != 2:
        raise ValueError(f"X: expected shape (rows, features), got shape {tuple(shape)}")
    if hasattr(X, "indptr"):
        return SparseSource(read_columns(X, int(shape[1])), weight)
    return DenseSource(read_dense(X, int(shape[1])), weight)
