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

    @property
    def dtype(self) -> np.dtype:
        return self.array.dtype

    def arguments(self) -> dict[str, Any]:
        """Of the kernels that take rows."""
        return {"X": self.array}


@dataclass(frozen=True)
class Sparse:
    """CSR without duplicates; entries that are not stored count as `absent`."""

    data: np.ndarray
    indices: np.ndarray
    indptr: np.ndarray
    absent: float

    @property
    def n_rows(self) -> int:
        return len(self.indptr) - 1

    @property
    def dtype(self) -> np.dtype:
        return self.data.dtype

    def arguments(self) -> dict[str, Any]:
        """Of the kernels that take rows."""
        arrays = {"X": self.data, "indices": self.indices, "indptr": self.indptr}
        return {**arrays, "absent": self.absent}


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


@dataclass(frozen=True)
class Columns:
    """CSC without duplicates, rows rising within a column; entries that are not stored are 0."""

    shape: tuple[int, int]
    data: np.ndarray
    indices: np.ndarray
    indptr: np.ndarray


def read_columns(X: Any, n_features: int) -> Columns:
    """Look at a SciPy CSR or CSC matrix by its columns; CSC without a copy.

    Raises:
        ValueError: as `read_matrix`.
    """
    _check_sparse(X, X.format, n_features)
    return Columns(X.shape, *_compressed(X.tocsc()))


def read_rows(X: Any, n_features: int) -> Sparse:
    """Look at a SciPy CSR or CSC matrix by its rows; CSR without a copy.

    Raises:
        ValueError: as `read_matrix`.
    """
    return _read_sparse(X, X.format, n_features, 0.0)


def _read_sparse(X: Any, layout: str, n_features: int, absent: float) -> Sparse:
    _check_sparse(X, layout, n_features)
    # SciPy takes the arrays at their word, so only now.
    return Sparse(*_compressed(X.tocsr()), float(absent))


def _compressed(X: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """data, indices and indptr of a CSR or CSC matrix without duplicates."""
    if not X.has_canonical_format:
        X = X.copy()
        X.sum_duplicates()
    stored = int(X.indptr[-1])
    return (
        np.ascontiguousarray(_as_float(np.asarray(X.data[:stored]))),
        np.ascontiguousarray(X.indices[:stored]),
        np.ascontiguousarray(X.indptr, np.int64),
    )


def _check_sparse(X: Any, layout: str, n_features: int) -> None:
    if layout not in ("csr", "csc"):
        raise ValueError(f"X: expected a CSR or CSC matrix, got format {layout!r}; pass X.tocsr()")
    if len(X.shape) != 2:
        raise ValueError(f"X: expected shape (rows, {n_features}), got shape {X.shape}")
    rows, columns = (int(n) for n in X.shape)
    _check_features(columns, n_features)
    major, minor = (rows, columns) if layout == "csr" else (columns, rows)
    indices, indptr = np.asarray(X.indices), np.asarray(X.indptr)
    if indptr.shape != (major + 1,) or indptr[0] != 0 or np.any(indptr[1:] < indptr[:-1]):
        raise ValueError(f"X: indptr is not {major + 1} growing offsets from 0")
    stored = int(indptr[-1])
    if np.ndim(X.data) != 1 or indices.ndim != 1 or min(len(X.data), len(indices)) < stored:
        raise ValueError(f"X: expected {stored} stored entries, as indptr says, got {len(X.data)}")
    used = indices[:stored]
    if stored and (used.min() < 0 or used.max() >= minor):
        raise ValueError(f"X: expected indices from 0 to {minor - 1}")


def _check_features(given: int, expected: int) -> None:
    if given != expected:
        raise ValueError(f"X: expected {expected} features, got {given}")


def _as_float(array: np.ndarray) -> np.ndarray:
    """float32 and float64 as they are; other numbers in the smaller one that holds them."""
    if array.dtype in (np.float32, np.float64) and array.dtype.isnative:
        whole = all(stride % array.itemsize == 0 for stride in array.strides)
        return array if whole and array.flags.aligned else array.copy()
    if array.dtype.kind not in "biuf":
        raise ValueError(f"X: expected numbers, got dtype {array.dtype}")
    small = array.dtype.itemsize <= 2
    return array.astype(np.float32 if small else np.float64)
