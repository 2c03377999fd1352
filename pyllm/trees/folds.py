"""Splits of rows for cross-validation: by class, by group, by query. All draw by Philox."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Fold = tuple[NDArray[np.intp], NDArray[np.intp]]  # rows to train on, rows to measure


def _rng(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=seed))


def _require(n: int, n_folds: int, what: str) -> None:
    if not 2 <= n_folds <= n:
        raise ValueError(f"folds: expected 2 to {n}, the number of {what}, got {n_folds}")


def _from_numbers(number: NDArray[np.intp], n_folds: int) -> Iterator[Fold]:
    for fold in range(n_folds):
        yield np.flatnonzero(number != fold), np.flatnonzero(number == fold)


def plain_folds(n: int, n_folds: int, seed: int = 0) -> Iterator[Fold]:
    """Rows dealt out at random, as evenly as it goes."""
    _require(n, n_folds, "rows")
    number = np.empty(n, np.intp)
    number[_rng(seed).permutation(n)] = np.arange(n) % n_folds
    return _from_numbers(number, n_folds)


def stratified_folds(y: NDArray, n_folds: int, seed: int = 0) -> Iterator[Fold]:
    """Every class dealt out on its own: folds differ by one row of a class at most."""
    _require(len(y), n_folds, "rows")
    rng = _rng(seed)
    number = np.empty(len(y), np.intp)
    dealt = 0  # where the last class left off, so that folds stay even in all
    for value in np.unique(y):
        rows = rng.permutation(np.flatnonzero(y == value))
        number[rows] = (dealt + np.arange(len(rows))) % n_folds
        dealt += len(rows)
    return _from_numbers(number, n_folds)


def grouped_folds(groups: NDArray, n_folds: int, seed: int = 0) -> Iterator[Fold]:
    """No group in two folds; the largest groups go first, each to the fold with the fewest rows."""
    _, group, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    _require(len(sizes), n_folds, "groups")
    order = _rng(seed).permutation(len(sizes))
    order = order[np.argsort(-sizes[order], kind="stable")]
    filled, fold_of = np.zeros(n_folds, np.int64), np.empty(len(sizes), np.intp)
    for g in order:
        fold_of[g] = filled.argmin()
        filled[fold_of[g]] += sizes[g]
    return _from_numbers(fold_of[group], n_folds)
