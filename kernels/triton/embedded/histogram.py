"""Gradient histograms: bins of one or two bytes, all rows or those of a list."""

from itertools import product

from pyllm.kernels.triton.histogram import KERNEL
from pyllm.kernels.triton.specialisations import Specialisation


def specialisations():
    for bins, rows in product(("u8", "i16"), (None, "i32", "i64")):
        pointers = {"bins": bins, "gradients": "i32", "rows": rows, "sums": "i64"}
        yield Specialisation(
            "histogram", KERNEL, pointers, bins, {"ROWS": rows is not None},
            unused=() if rows else ("rows",), any_integer=("count", "samples", "max_bin"),
        )  # fmt: skip
