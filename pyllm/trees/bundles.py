"""Sparse features: lists of the rows where they differ, and which of them share a column of codes.

Features no two of which differ from their most frequent bin in the same row can be told from one
code a row: exclusive bundling (Ke et al., "LightGBM: A Highly Efficient Gradient Boosting Decision
Tree", 2017, section 4), here on all rows and without conflicts, so that a bundle says exactly what
its features do.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pyllm import _cpu
from pyllm.trees.categories import keep_known
from pyllm.trees.source import RowSource
from pyllm.trees.sparse_source import ColumnSource, EntrySource

# Rows with the most frequent bin, as a share of all, from which on a feature may be bundled.
USUAL_SHARE = 0.6
# Features of up to this many bins take a byte a row; one code is kept for missing values.
NARROW_BINS = 255
# Codes of a bundle that takes a byte a row, besides the one of all features' usual bin.
NARROW_CODES = 255
# Features of more codes than these share columns of two bytes, up to so many that the histogram of
# a column stays in the first cache.
_FEW_CODES, _WIDE_CODES = 63, 4095

_Categories = Sequence[np.ndarray | None]


@dataclass(frozen=True)
class Usual:
    """The most frequent bin of a feature and its share of the rows, both of them estimates."""

    bin: int
    share: float


@dataclass(frozen=True)
class Lists:
    """The codes of some features, but for the usual one.

    Attributes:
        features: indices in the data set; lists are numbered in this order.
        usual: (n_features of these,) the code that is not listed.
        counts: how many rows are listed.
        missing: whether some row misses the feature.
    """

    features: np.ndarray
    usual: np.ndarray
    codes: "_cpu.TreeSparseCodes | _cpu.TreeRowCodes"
    counts: np.ndarray
    missing: np.ndarray

    def bundles(self, n_samples: int, n_bins: np.ndarray, n_codes: np.ndarray) -> list[list[int]]:
        """Features that share a column, two or more each: columns of one byte, then of two.

        Args:
            n_bins, n_codes: of all features, without and with the code of missing values.
        """
        bins, codes = n_bins[self.features], n_codes[self.features]
        most = (1.0 - USUAL_SHARE) * n_samples
        # Missing values are never what a bundle leaves out.
        fits = (self.counts >= 0) & (self.counts <= most) & (self.usual < bins)
        bundles = []
        few = codes - 1 <= _FEW_CODES
        for kind, limit in ((few, NARROW_CODES), (~few & (codes - 1 < _WIDE_CODES), _WIDE_CODES)):
            candidates = np.flatnonzero(fits & kind)
            found = self.codes.bundles(candidates.tolist(), (codes[candidates] - 1).tolist(), limit)
            bundles += [self.features[bundle].tolist() for bundle in found if len(bundle) > 1]
        return bundles


def list_columns(
    source: ColumnSource, cuts: Sequence[np.ndarray], categories: _Categories
) -> Lists:
    """All features of a matrix by columns; what is not stored is the usual code."""
    n, columns = source.n_samples, source.columns
    usual = [_code_of_zero(c, known) for c, known in zip(cuts, categories, strict=True)]
    codes = _cpu.TreeSparseCodes(n, [c.tolist() for c in cuts], usual)
    numerical = [f for f, known in enumerate(categories) if known is None]
    codes.add_columns(columns.data, columns.indices, columns.indptr, numerical, numerical)
    for f, known in enumerate(categories):
        if known is not None:
            begin, end = columns.indptr[f : f + 2]
            data = keep_known(columns.data[begin:end], known)
            offset = np.array([0, end - begin])
            codes.add_columns(data, columns.indices[begin:end], offset, [0], [f])
    counts = np.array(codes.counts, np.int64)
    absent_is_missing = np.array(usual) > np.array([len(c) for c in cuts])
    missing = np.array(codes.missing, np.bool_) | (absent_is_missing & (counts < n))
    return Lists(np.arange(len(cuts)), np.array(usual), codes, counts, missing)


def list_entries(source: EntrySource, cuts: Sequence[np.ndarray]) -> Lists:
    """All features of a matrix by rows; listed only while bundles are looked for."""
    usual = [_code_of_zero(c, None) for c in cuts]
    codes = _cpu.TreeRowCodes(source.rows, [c.tolist() for c in cuts], usual)
    counts, missing = np.array(codes.counts, np.int64), np.array(codes.missing, np.bool_)
    return Lists(np.arange(len(cuts)), np.array(usual, np.int64), codes, counts, missing)


def list_rows(
    source: RowSource, cuts: Sequence[np.ndarray], categories: _Categories, usual: Sequence[Usual]
) -> Lists | None:
    """The features that look sparse, if there are two or more; those that are not, left out."""
    features = [
        f for f, u in enumerate(usual) if u.share >= USUAL_SHARE and len(cuts[f]) < _WIDE_CODES
    ]
    if len(features) < 2:
        return None
    bins = [usual[f].bin for f in features]
    codes = _cpu.TreeSparseCodes(source.n_samples, [cuts[f].tolist() for f in features], bins)
    most = int((1.0 - USUAL_SHARE) * source.n_samples)
    numerical = [i for i, f in enumerate(features) if categories[f] is None]
    columns = [features[i] for i in numerical]
    for first, block in source.blocks():
        codes.add_rows(block, first, columns, numerical, most)
        for i, f in enumerate(features):
            known = categories[f]
            if known is not None:
                codes.add_rows(keep_known(block[:, [f]], known), first, [0], [i], most)
    counts, missing = np.array(codes.counts, np.int64), np.array(codes.missing, np.bool_)
    return Lists(np.array(features), np.array(bins), codes, counts, missing)


def _code_of_zero(cuts: np.ndarray, known: np.ndarray | None) -> int:
    if known is not None and 0.0 not in known:
        return len(cuts) + 1
    return int(np.searchsorted(cuts, 0.0))
