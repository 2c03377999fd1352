"""Rows to predict: dense or sparse, without a copy where the layout allows it."""

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Dense:
    """A float32 or float64 array (rows, features), of any strides."""

    array: np.ndarray

    @property
    def n_rows(self) -> int:
        return self.array.shape[0]

    def block(self, begin: int, end: int) -> np.ndarray:
        """Rows [begin, end)."""
        return self.array[begin:end]


@dataclass(frozen=True)
class Sparse:
    """CSR or CSC; entries that are not stored count as `absent`."""

    layout: str
    shape: tuple[int, int]
    data: np.ndarray
    indices: np.ndarray
    indptr: np.ndarray
    absent: float

    @property
    def n_rows(self) -> int:
        return self.shape[0]

    def block(self, begin: int, end: int) -> np.ndarray:
        """Rows [begin, end) as an array; an entry stored twice counts as the sum, as in SciPy."""
        dense = np.full((end - begin, self.shape[1]), self.absent, self.data.dtype)
        major = np.repeat(np.arange(len(self.indptr) - 1), np.diff(self.indptr))
        row, column = (major, self.indices) if self.layout == "csr" else (self.indices, major)
        here = (row >= begin) & (row < end)
        row, column = row[here] - begin, column[here]
        dense[row, column] = 0
        np.add.at(dense, (row, column), self.data[here])
        return dense


def read_matrix(X: Any, n_features: int, *, absent: float = 0.0) -> Dense | Sparse:
    """Look at X as rows of `n_features` numbers.

    Args:
        X: (rows, features), an array of numbers or a SciPy CSR or CSC matrix.
        absent: what entries count as that a sparse matrix does not store.

    Raises:
        ValueError: X has another shape, holds no real numbers, or is a sparse matrix with indices
            out of range.
    """
    layout = getattr(X, "format", None)
    if layout is not None and hasattr(X, "indptr"):
        return _read_sparse(X, layout, n_features, absent)
    if hasattr(X, "tocsr"):
        raise ValueError(f"X: expected a CSR or CSC matrix, got format {layout!r}; pass X.tocsr()")
    array = np.asarray(X)
    if array.ndim != 2:
        raise ValueError(f"X: expected shape (rows, {n_features}), got shape {array.shape}")
    _check_features(array.shape[1], n_features)
    return Dense(_as_float(array))


def _read_sparse(X: Any, layout: str, n_features: int, absent: float) -> Sparse:
    if layout not in ("csr", "csc"):
        raise ValueError(f"X: expected a CSR or CSC matrix, got format {layout!r}; pass X.tocsr()")
    if len(X.shape) != 2:
        raise ValueError(f"X: expected shape (rows, {n_features}), got shape {X.shape}")
    rows, columns = (int(n) for n in X.shape)
    _check_features(columns, n_features)
    major, minor = (rows, columns) if layout == "csr" else (columns, rows)
    data = _as_float(np.asarray(X.data))
    indices, indptr = (np.asarray(a, np.int64) for a in (X.indices, X.indptr))
    if indptr.shape != (major + 1,) or indptr[0] != 0 or np.any(np.diff(indptr) < 0):
        raise ValueError(f"X: indptr is not {major + 1} growing offsets from 0")
    stored = int(indptr[-1])
    if data.ndim != 1 or indices.ndim != 1 or len(data) < stored or len(indices) < stored:
        raise ValueError(f"X: expected {stored} stored entries, as indptr says, got {len(data)}")
    data, indices = data[:stored], indices[:stored]
    if stored and (indices.min() < 0 or indices.max() >= minor):
        raise ValueError(f"X: expected indices from 0 to {minor - 1}")
    return Sparse(layout, (rows, columns), data, indices, indptr, float(absent))


def _check_features(given: int, expected: int) -> None:
    if given != expected:
        raise ValueError(f"X: expected {expected} features, got {given}")


def _as_float(array: np.ndarray) -> np.ndarray:
    """float32 and float64 as they are; other numbers in the smaller one that holds them."""
    if array.dtype in (np.float32, np.float64) and array.dtype.isnative:
        return array
    if array.dtype.kind not in "biuf":
        raise ValueError(f"X: expected numbers, got dtype {array.dtype}")
    small = array.dtype.itemsize <= 2
    return array.astype(np.float32 if small else np.float64)
