"""Leaves through the emulator: sums in the order of rows, the leaf of each row, new margins."""

import numpy as np
import pytest

from tests.cuda.emulator.build import KERNELS
from tests.cuda.emulator.client import ORDERS, CudaError, Out, inout

SOURCES = [KERNELS / "tree_leaves.cu"]


def sums(emulator, gradient, hessian, rows, segments, starts, **how):
    segments = np.asarray(segments, np.int64)
    outputs = gradient.shape[1]
    strides = [s // 4 for s in gradient.strides]
    args = {
        "gradient": gradient, "hessian": hessian, "rows": rows, "segments": segments,
        "block_starts": np.array(starts), "blocks": len(starts) - 1,
        "partial": Out((len(starts) - 1, len(segments), outputs, 2), np.float64),
        "sums": Out((len(segments), outputs, 2), np.float64), "nodes": len(segments),
        "outputs": outputs, "row_stride": strides[0], "output_stride": strides[1],
    }  # fmt: skip
    return emulator.call("pyllm_cuda_tree_leaf_sums", "TreeLeafSums", **{**args, **how})["sums"]


@pytest.mark.parametrize(("variant", "order"), [("asan", o) for o in ORDERS] + [("tsan", "random")])
def test_sums_have_the_order_of_rows(emulator_for, rng, variant, order):
    """Of no rows, a few, several tiles, two outputs; blocks of rows one after another.

    Values of very different sizes, so that another order would show.
    """
    n = 2600
    gradient = (rng.normal(size=(n, 2)) * 2.0 ** rng.integers(-60, 60, (n, 2))).astype(np.float32)
    hessian = rng.random((n, 2)).astype(np.float32)
    rows = rng.permutation(n).astype(np.int32)
    segments, starts = [(0, 3), (3, 0), (3, 2000), (2003, 597)], [0, 1700, 1704, n]
    for start, count in segments:
        rows[start : start + count].sort()
    how = {"order": order}
    got = sums(emulator_for(variant, SOURCES), gradient, hessian, rows, segments, starts, **how)
    for node, (start, count) in enumerate(segments):
        mine = rows[start : start + count]
        for k, values in enumerate((gradient, hessian)):
            expected = np.zeros((3, 2))
            for row in mine:
                expected[np.searchsorted(starts, row, "right") - 1] += values[row]
            by_block = expected[0] + expected[1] + expected[2]
            np.testing.assert_array_equal(got[node, :, k], by_block)


@pytest.mark.parametrize("wide", [False, True], ids=["narrow", "wide"])
@pytest.mark.parametrize("variant", ["asan", "tsan"])
def test_leaf_of_each_row(emulator_for, rng, variant, wide):
    """Node 0 splits on feature 1, its right child on feature 0, where missing goes left."""
    codes = rng.integers(0, 6, (300, 3)).astype(np.uint16 if wide else np.uint8)
    got = emulator_for(variant, SOURCES).call(
        "pyllm_cuda_tree_find_leaves", "TreeFindLeaves", codes=codes,
        feature=np.array([1, -1, 0, -1, -1], np.int32), bin=np.array([2, 0, 1, 0, 0], np.int32),
        missing_code=np.full(5, 5, np.int32), left=np.array([1, -1, 3, -1, -1], np.int32),
        right=np.array([2, -1, 4, -1, -1], np.int32), default_left=np.array([0, 0, 1, 0, 0], "u1"),
        leaf=Out((300,), np.int32), rows=300, codes_row_stride=3, wide=wide,
    )  # fmt: skip
    deeper = np.where((codes[:, 0] <= 1) | (codes[:, 0] == 5), 3, 4)
    np.testing.assert_array_equal(got["leaf"], np.where(codes[:, 1] <= 2, 1, deeper))


@pytest.mark.parametrize("variant", ["asan", "tsan"])
def test_margins(emulator_for, rng, variant):
    """A leaf that is not there gives NaN, not another's value."""
    margin, leaf = rng.normal(size=500), rng.integers(0, 7, 500).astype(np.int32)
    leaf[[3, 4]] = -1, 7
    value = rng.normal(size=7)
    got = emulator_for(variant, SOURCES).call(
        "pyllm_cuda_tree_add_leaf_values", "TreeAddLeafValues", margin=inout(margin), leaf=leaf,
        value=value, rows=500, nodes=7,
    )["margin"]  # fmt: skip
    expected = margin + value[leaf % 7]
    expected[[3, 4]] = np.nan
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("bad", [{"nodes": -1}, {"outputs": 0}, {"blocks": 0}], ids=str)
def test_bad_arguments_are_refused(emulator_for, bad):
    x = np.zeros((3, 1), np.float32)
    with pytest.raises(CudaError, match="error 1"):
        sums(emulator_for("asan", SOURCES), x, x, np.arange(3, dtype="i"), [(0, 3)], [0, 3], **bad)
