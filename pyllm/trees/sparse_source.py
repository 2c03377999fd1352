"""Sparse matrices that a data set is read from; entries that are not stored are zeros."""

from abc import ABC, abstractmethod
from dataclasses import replace

import numpy as np

from pyllm import _cpu
from pyllm.trees.matrix import Columns, Sparse
from pyllm.trees.sampled_rows import sampled_rows


class SparseSource(ABC):
    """A sparse matrix and the rows that decide its cuts.

    Attributes:
        stored: (n_features,) how many entries are stored.
    """

    stored: np.ndarray

    def __init__(self, n_samples: int, n_features: int, weight: np.ndarray | None) -> None:
        self.n_samples, self.n_features = n_samples, n_features
        rows = sampled_rows(n_samples)
        # How often a row is in the sample (None: all are, once), weights, rows drawn, their weight.
        times: np.ndarray | None = None
        count, total = n_samples, float(n_samples)
        if rows is not None:
            times = np.bincount(rows, minlength=n_samples).astype(np.uint8)
            count, total = len(rows), float(len(rows))
        if weight is not None:
            total = float((weight if rows is None else weight[rows]).sum())
        self._sample = times, weight, count, total

    @abstractmethod
    def cuts(self, features: list[int], max_bin: int) -> list[np.ndarray]:
        """The cuts of some features, as `find_cuts`."""


class ColumnSource(SparseSource):
    """A matrix by its columns, any of which can be read."""

    def __init__(self, columns: Columns, weight: np.ndarray | None) -> None:
        super().__init__(*columns.shape, weight)
        self.columns = columns
        self.stored = np.diff(columns.indptr)

    def cuts(self, features: list[int], max_bin: int) -> list[np.ndarray]:
        c = self.columns
        cuts = _cpu.tree_column_cuts(c.data, c.indices, c.indptr, features, *self._sample, max_bin)
        return [np.array(each) for each in cuts]

    def drop_values(self) -> None:
        """Keep where the entries are, not what they are."""
        self.columns = replace(self.columns, data=self.columns.data[:0].copy())

    def distinct(self, feature: int) -> tuple[np.ndarray, np.ndarray]:
        """The distinct values of a feature over all rows, and how often each occurs."""
        begin, end = self.columns.indptr[feature : feature + 2]
        stored = self.columns.data[begin:end]
        absent = self.n_samples - len(stored)
        if absent == 0:
            return np.unique(stored, return_counts=True)
        values, counts = np.unique(np.append(stored, 0), return_counts=True)
        counts[np.searchsorted(values, 0)] += absent - 1
        return values, counts


class EntrySource(SparseSource):
    """A matrix by its rows, used as it stands: nothing is turned into columns."""

    def __init__(self, rows: Sparse, n_features: int, weight: np.ndarray | None) -> None:
        super().__init__(rows.n_rows, n_features, weight)
        self.rows = _cpu.TreeRows(rows.data, rows.indices, rows.indptr, n_features)
        self.stored = np.array(self.rows.stored, np.int64)

    def cuts(self, features: list[int], max_bin: int) -> list[np.ndarray]:
        cuts = self.rows.cuts(*self._sample, max_bin)
        return [np.array(cuts[f]) for f in features]
