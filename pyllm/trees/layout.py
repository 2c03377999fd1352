"""Where a data set keeps the codes of its features."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from pyllm import _cpu
from pyllm.trees.bundles import NARROW_BINS, NARROW_CODES

_CACHE_LINE = 64


@dataclass
class Layout:
    """Columns of one byte a row and columns of two, those of bundles last.

    Attributes:
        wide, column: by feature, its column and in which of the two matrices that is.
        first, usual: by bundled feature, its first code in the column, and the bin that has none
            there; usual is -1 where a feature has a column alone.
        columns: how many columns are narrow, and wide.
    """

    wide: list[bool]
    column: list[int] = field(default_factory=list)
    first: list[int] = field(default_factory=list)
    usual: list[int] = field(default_factory=list)
    columns: dict[bool, int] = field(default_factory=lambda: {False: 0, True: 0})

    @classmethod
    def of(
        cls,
        n_codes: Sequence[int],
        n_bins: Sequence[int],
        bundles: Sequence[Sequence[int]],
        usual: dict[int, int],
    ) -> "Layout":
        """Of features with these many bins, and codes with that of missing values."""
        layout = cls([n > NARROW_BINS for n in n_bins])
        layout.first, layout.usual = [0] * len(n_bins), [-1] * len(n_bins)
        bundled = {f for bundle in bundles for f in bundle}
        for f, wide in enumerate(layout.wide):
            layout.column.append(layout.columns[wide])
            layout.columns[wide] += f not in bundled
        for bundle in bundles:
            wide = sum(n_codes[f] - 1 for f in bundle) > NARROW_CODES
            first = 1  # code 0: all features have their usual bin
            for f in bundle:
                layout.wide[f], layout.column[f] = wide, layout.columns[wide]
                layout.first[f], layout.usual[f] = first, usual[f]
                first += n_codes[f] - 1
            layout.columns[wide] += 1
        return layout

    def allocate(self, n_samples: int) -> "_cpu.TreeCodes":
        """Both matrices by row and by column, not yet filled."""
        arrays = []
        for wide, dtype in ((False, np.uint8), (True, np.uint16)):
            columns = self.columns[wide]
            stride = _row_stride(columns, np.dtype(dtype).itemsize)
            for shape in ((n_samples, stride), (columns, n_samples)):
                # From the allocator that uses huge pages: rows are read in no order.
                arrays.append(_cpu.empty_like(np.empty(0, dtype), shape))
        return _cpu.TreeCodes(*arrays)


def _row_stride(columns: int, itemsize: int) -> int:
    """Codes from row to row: rows of up to a cache line do not straddle two, if that is cheap."""
    size = max(columns * itemsize, 1)
    padded = 1 << (size - 1).bit_length()
    return (padded if padded <= _CACHE_LINE and padded <= size * 1.25 else size) // itemsize
