"""A binned data set: what trees are grown on."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from pyllm import _cpu
from pyllm.trees.bundles import Usual, list_columns, list_entries, list_rows
from pyllm.trees.categories import find_categories, keep_known
from pyllm.trees.checks import require_whole
from pyllm.trees.cuts import find_bins
from pyllm.trees.device import bin_on_device, check_dataset
from pyllm.trees.layout import Layout
from pyllm.trees.source import RowSource, are_blocks, open_source
from pyllm.trees.sparse_source import ColumnSource, EntrySource, SparseSource


class Dataset:
    """Features cut into bins, once, for any number of trees.

    Takes two bytes a cell (four for features of more than 255 bins); X itself is not kept. Sparse
    features that no row has more than one of, as in one-hot columns, share two bytes a row: up to
    255 bins of them besides their most frequent one. The trees are the same.

    Args:
        X: (n_samples, n_features) array of numbers or SciPy CSR or CSC matrix; or, for data larger
            than memory, such blocks of rows: a list of them, an object whose iterator starts anew
            each time, or a function that returns an iterator. Blocks are read twice. NaN is
            missing, infinities are values like others. float32 and float64 are read where they
            stand, but for CSR with categorical features, unsorted indices or duplicates.
        max_bin: the most bins of a feature, 2 to 65535, missing values not counted.
        categorical: indices, or names, of the features whose values are categories: whole numbers
            from 0 to 2^24.
        weight: (n_samples,), what a row counts for when bins are made of equal weight. Weights do
            not enter training: multiply them into gradients and hessians.
        reference: use the cuts of this data set, of as many features.
        feature_names: one a feature.
        enable_bundle: whether features may share columns of codes. Blocks are read once more where
            some are sparse.
        device: where the bins are kept and trees are grown: "cpu", "cuda" or "cuda:N". On a device
            features are numerical, X is dense, and max_bin is at most 9999; models are the same to
            the bit.

    Attributes:
        n_samples, n_features: the shape of X.
        cuts: per feature, the (bins - 1,) float64 limits between its bins; a value up to cuts[i]
            and above cuts[i - 1] is in bin i.
        categories: per categorical feature, the rising categories that have a bin, at most max_bin;
            rarer ones count as missing. None at numerical features.
        missing: (n_features,) bool, features that miss in some row.
        feature_names: list of str, or None.
        bundles: the features that share columns, two or more each.
        device: as given.

    Raises:
        ValueError: X is no matrix of numbers, or another argument does not fit it.
    """

    cuts: list[np.ndarray]
    categories: list[np.ndarray | None]
    _usual: list[Usual]

    def __init__(
        self,
        X: Any,
        *,
        max_bin: int = 255,
        categorical: Iterable[int | str] = (),
        weight: Any = None,
        reference: "Dataset | None" = None,
        feature_names: Sequence[str] | None = None,
        enable_bundle: bool = True,
        device: str = "cpu",
    ) -> None:
        require_whole("max_bin", max_bin, 2, 65535)
        self.device = device
        categorical = list(categorical)
        by_columns = bool(categorical) or _has_categories(reference)
        weight = None if weight is None else _read_weight(weight, X)
        source = open_source(X, weight, by_columns)
        if device != "cpu":
            check_dataset(device, source, categorical, reference, max_bin)
        self.n_samples, self.n_features = source.n_samples, source.n_features
        if self.n_samples >= 1 << 31:
            raise ValueError(f"X: expected fewer than 2**31 rows, got {self.n_samples}")
        self.feature_names = _read_names(feature_names, self.n_features)
        self.missing = np.zeros(self.n_features, np.bool_)
        if reference is None:
            self.categories = [None] * self.n_features
            self._find_bins(source, categorical, max_bin)
        elif not isinstance(reference, Dataset):
            raise TypeError(f"reference: expected a Dataset, got {type(reference).__name__}")
        elif reference.n_features != self.n_features:
            raise ValueError(
                f"reference: has {reference.n_features} features, X has {self.n_features}"
            )
        else:
            self.cuts, self.categories = reference.cuts, reference.categories
            self._usual = reference._usual
            self.missing |= reference.missing
        self.bundles: list[list[int]] = []
        if device == "cpu":
            self._fill(source, enable_bundle)
            self._bins = self._describe()
        else:
            self._bins = bin_on_device(source, self.cuts, self.missing, device)

    @property
    def shape(self) -> tuple[int, int]:
        """(n_samples, n_features)."""
        return self.n_samples, self.n_features

    def _fill(self, source: RowSource | ColumnSource | EntrySource, enable_bundle: bool) -> None:
        lists = None
        if isinstance(source, EntrySource):
            lists = list_entries(source, self.cuts)
        elif isinstance(source, ColumnSource):
            lists = list_columns(source, self.cuts, self.categories)
            source.drop_values()
        elif enable_bundle:
            lists = list_rows(source, self.cuts, self.categories, self._usual)
        listed: dict[int, int] = {}
        if lists is not None:
            kept = lists.counts >= 0
            listed = dict(zip(lists.features[kept].tolist(), np.flatnonzero(kept), strict=True))
            self.missing[lists.features[kept]] |= lists.missing[kept]
        n_bins = np.array([len(cuts) + 1 for cuts in self.cuts], np.int64)
        n_codes = n_bins + self.missing
        if lists is not None and enable_bundle:
            self.bundles = lists.bundles(self.n_samples, n_bins, n_codes)
        usual = {} if lists is None else {f: int(lists.usual[i]) for f, i in listed.items()}
        self._layout = Layout.of(n_codes.tolist(), n_bins.tolist(), self.bundles, usual)
        self._codes = self._layout.allocate(self.n_samples)
        if lists is not None:
            lists.codes.store(self._plan(listed), self._codes)
        if not isinstance(source, SparseSource):
            self._fill_rows(source, set(range(self.n_features)) - set(listed))

    def _plan(self, listed: dict[int, int]) -> list[tuple[bool, int, list[int], list[int]]]:
        """The columns of listed features: where, which lists, and their first codes in a bundle."""
        layout = self._layout
        plain = set(listed).difference(*self.bundles)
        plan: list[tuple[bool, int, list[int], list[int]]] = [
            (layout.wide[f], layout.column[f], [listed[f]], []) for f in sorted(plain)
        ]
        for bundle in self.bundles:
            lists, first = [listed[f] for f in bundle], [layout.first[f] for f in bundle]
            plan.append((layout.wide[bundle[0]], layout.column[bundle[0]], lists, first))
        return plan

    def _fill_rows(self, source: RowSource, features: set[int]) -> None:
        if not features:
            return
        wide, column = self._layout.wide, self._layout.column
        cuts = [c.tolist() for c in self.cuts]
        categorical = [f for f in sorted(features) if self.categories[f] is not None]
        numerical = [
            c if f in features and self.categories[f] is None else -1 for f, c in enumerate(column)
        ]
        for first, block in source.blocks():
            missing = _cpu.tree_bin(block, cuts, wide, numerical, first, self._codes)
            self.missing |= np.array(missing, np.bool_)
            for f in categorical:
                known = self.categories[f]
                assert known is not None
                x = keep_known(block[:, [f]], known)
                missing = _cpu.tree_bin(x, [cuts[f]], [wide[f]], [column[f]], first, self._codes)
                self.missing[f] |= missing[0]

    def _find_bins(
        self,
        source: RowSource | ColumnSource | EntrySource,
        categorical: Iterable[int | str],
        max_bin: int,
    ) -> None:
        found: dict[int, tuple[np.ndarray, Usual]] = {}
        for name in categorical:
            f = _feature_index(name, self.feature_names, self.n_features)
            assert not isinstance(source, EntrySource)
            known, usual, share = find_categories(*source.distinct(f), max_bin, f)
            self.categories[f] = known
            found[f] = known[:-1] + 0.5, Usual(usual, share)
        numerical = [f for f, known in enumerate(self.categories) if known is None]
        if isinstance(source, SparseSource):
            for f, cuts in zip(numerical, source.cuts(numerical, max_bin), strict=True):
                share = 1.0 - source.stored[f] / max(source.n_samples, 1)
                found[f] = cuts, Usual(int(np.searchsorted(cuts, 0.0)), share)
        else:
            for f in numerical:
                values, weight = source.values(f)
                cuts, usual, share = find_bins(values, max_bin, weight)
                found[f] = cuts, Usual(usual, share)
        self.cuts = [found[f][0] for f in range(self.n_features)]
        self._usual = [found[f][1] for f in range(self.n_features)]

    def _describe(self) -> "_cpu.TreeBins":
        return _cpu.TreeBins(
            self._codes,
            [len(cuts) + 1 for cuts in self.cuts],
            self.missing.tolist(),
            [known is not None for known in self.categories],
            self._layout.wide,
            self._layout.column,
            self._layout.first,
            self._layout.usual,
        )


def _has_categories(reference: Any) -> bool:
    known = reference.categories if isinstance(reference, Dataset) else []
    return any(categories is not None for categories in known)


def _feature_index(name: int | str, names: list[str] | None, n_features: int) -> int:
    if isinstance(name, str):
        if names is None or name not in names:
            raise ValueError(f"categorical: no feature is named {name!r}")
        return names.index(name)
    if not 0 <= name < n_features:
        raise ValueError(f"categorical: expected 0 to {n_features - 1}, got {name}")
    return int(name)


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
