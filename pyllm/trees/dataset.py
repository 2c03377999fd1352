"""A binned data set: what trees are grown on."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from pyllm import _cpu
from pyllm.trees.categories import find_categories, keep_known
from pyllm.trees.checks import require_whole
from pyllm.trees.cuts import find_cuts
from pyllm.trees.source import Source, are_blocks, open_source

# A feature of up to this many bins takes a byte a row; one code is kept for missing values.
_NARROW_BINS = 255
_CACHE_LINE = 64


class Dataset:
    """Features cut into bins, once, for any number of trees.

    Takes two bytes a cell (four for features of more than 255 bins); X itself is not kept.

    Args:
        X: (n_samples, n_features) array of numbers or SciPy CSR or CSC matrix; or, for data larger
            than memory, such blocks of rows: a list of them, an object whose iterator starts anew
            each time, or a function that returns an iterator. Blocks are read twice. NaN is
            missing, infinities are values like others.
        max_bin: the most bins of a feature, 2 to 65535, missing values not counted.
        categorical: indices, or names, of the features whose values are categories: whole numbers
            from 0 to 2^24.
        weight: (n_samples,), what a row counts for when bins are made of equal weight. Weights do
            not enter training: multiply them into gradients and hessians.
        reference: use the cuts of this data set, of as many features.
        feature_names: one a feature.

    Attributes:
        n_samples, n_features: the shape of X.
        cuts: per feature, the (bins - 1,) float64 limits between its bins; a value up to cuts[i]
            and above cuts[i - 1] is in bin i.
        categories: per categorical feature, the rising categories that have a bin, at most max_bin;
            rarer ones count as missing. None at numerical features.
        missing: (n_features,) bool, features that miss in some row.
        feature_names: list of str, or None.

    Raises:
        ValueError: X is no matrix of numbers, or another argument does not fit it.
    """

    def __init__(
        self,
        X: Any,
        *,
        max_bin: int = 255,
        categorical: Iterable[int | str] = (),
        weight: Any = None,
        reference: "Dataset | None" = None,
        feature_names: Sequence[str] | None = None,
    ) -> None:
        require_whole("max_bin", max_bin, 2, 65535)
        source = open_source(X, None if weight is None else _read_weight(weight, X))
        self.n_samples, self.n_features = source.n_samples, source.n_features
        if self.n_samples >= 1 << 31:
            raise ValueError(f"X: expected fewer than 2**31 rows, got {self.n_samples}")
        self.feature_names = _read_names(feature_names, self.n_features)
        if reference is None:
            self.categories = self._find_categories(source, categorical, max_bin)
            self.cuts = [
                _cuts_of(source, f, max_bin) if known is None else known[:-1] + 0.5
                for f, known in enumerate(self.categories)
            ]
        elif reference.n_features != self.n_features:
            raise ValueError(
                f"reference: has {reference.n_features} features, X has {self.n_features}"
            )
        else:
            self.cuts, self.categories = reference.cuts, reference.categories
        self._fill(source)
        if reference is not None:
            self.missing |= reference.missing
        self._bins = self._describe()

    @property
    def shape(self) -> tuple[int, int]:
        """(n_samples, n_features)."""
        return self.n_samples, self.n_features

    def _fill(self, source: Source) -> None:
        wide = [len(cuts) >= _NARROW_BINS for cuts in self.cuts]
        self._wide = wide
        place = {False: 0, True: 0}
        self._column = []
        for is_wide in wide:
            self._column.append(place[is_wide])
            place[is_wide] += 1
        arrays = []
        for columns, dtype in ((place[False], np.uint8), (place[True], np.uint16)):
            stride = _row_stride(columns, np.dtype(dtype).itemsize)
            for shape in ((self.n_samples, stride), (columns, self.n_samples)):
                # From the allocator that uses huge pages: rows are read in no order.
                arrays.append(_cpu.empty_like(np.empty(0, dtype), shape))
        self._codes = _cpu.TreeCodes(*arrays)
        self.missing = np.zeros(self.n_features, np.bool_)
        cuts = [c.tolist() for c in self.cuts]
        numerical = [
            c if known is None else -1
            for c, known in zip(self._column, self.categories, strict=True)
        ]
        for first, block in source.blocks():
            missing = _cpu.tree_bin(block, cuts, wide, numerical, first, self._codes)
            self.missing |= np.array(missing, np.bool_)
            for f, known in enumerate(self.categories):
                if known is not None:
                    x = keep_known(block[:, [f]], known)
                    missing = _cpu.tree_bin(
                        x, [cuts[f]], [wide[f]], [self._column[f]], first, self._codes
                    )
                    self.missing[f] |= missing[0]

    def _find_categories(
        self, source: Source, categorical: Iterable[int | str], max_bin: int
    ) -> list[np.ndarray | None]:
        found: list[np.ndarray | None] = [None] * self.n_features
        for name in categorical:
            f = _feature_index(name, self.feature_names, self.n_features)
            found[f] = find_categories(*source.distinct(f), max_bin, f)
        return found

    def _describe(self) -> "_cpu.TreeBins":
        return _cpu.TreeBins(
            self._codes,
            [len(cuts) + 1 for cuts in self.cuts],
            self.missing.tolist(),
            [known is not None for known in self.categories],
            self._wide,
            self._column,
        )


def _cuts_of(source: Source, feature: int, max_bin: int) -> np.ndarray:
    values, weight = source.values(feature)
    return find_cuts(values, max_bin, weight)


def _feature_index(name: int | str, names: list[str] | None, n_features: int) -> int:
    if isinstance(name, str):
        if names is None or name not in names:
            raise ValueError(f"categorical: no feature is named {name!r}")
        return names.index(name)
    if not 0 <= name < n_features:
        raise ValueError(f"categorical: expected 0 to {n_features - 1}, got {name}")
    return int(name)


def _row_stride(columns: int, itemsize: int) -> int:
    """Codes from row to row: rows of up to a cache line do not straddle two, if that is cheap."""
    size = max(columns * itemsize, 1)
    padded = 1 << (size - 1).bit_length()
    return (padded if padded <= _CACHE_LINE and padded <= size * 1.25 else size) // itemsize


def _read_weight(weight: Any, X: Any) -> np.ndarray:
    array = np.asarray(weight, np.float64)
    if array.ndim != 1:
        raise ValueError(f"weight: expected shape (n_samples,), got {array.shape}")
    if not are_blocks(X):
        rows = X.shape[0] if hasattr(X, "shape") else len(X)
        if len(array) != rows:
            raise ValueError(f"weight: expected shape ({rows},), got {array.shape}")
    if not np.all(array >= 0) or np.isinf(array).any():
        raise ValueError("weight: expected finite numbers of 0 or more")
    return array


def _read_names(names: Sequence[str] | None, n_features: int) -> list[str] | None:
    if names is None:
        return None
    if len(names) != n_features:
        raise ValueError(f"feature_names: expected {n_features}, got {len(names)}")
    return [str(name) for name in names]
