"""Histograms through the emulator, equal to NumPy whatever the order of threads and blocks."""

import numpy as np
import pytest

from tests.cuda import trees_reference as reference
from tests.cuda.emulator.build import KERNELS
from tests.cuda.emulator.client import ORDERS, CudaError, Out, inout

SOURCES = [KERNELS / "tree_histogram.cu"]


def problem(rng, rows, features, most_bins=40, wide=False):
    """Codes, bin offsets, integer gradients, and rows in any order."""
    bins = rng.integers(1, most_bins, features)
    codes = (rng.random((rows, features)) * bins).astype(np.uint16 if wide else np.uint8)
    quantized = rng.integers(-(2**17), 2**17, (rows, 2)).astype(np.int32)
    offset = np.cumsum([0, *bins]).astype(np.int32)
    return codes, offset, quantized, rng.permutation(rows).astype(np.int32)


def run(emulator, codes, offset, quantized, rows, segments, group=4, **how):
    """Histograms (nodes, bins, 2)."""
    segments = np.asarray(segments, np.int64)
    features = codes.shape[1]
    firsts = [*offset[: features + 1 : group], offset[-1]]
    args = {
        "codes": codes, "quantized": quantized, "rows": rows, "segments": segments,
        "bin_offset": offset, "places": None,
        "histograms": Out((len(segments), int(offset[-1]), 2), np.int64),
        "nodes": len(segments), "features": features, "total_bins": int(offset[-1]),
        "codes_row_stride": features, "histogram_node_stride": int(offset[-1]) * 2,
        "most_rows": int(segments[:, 1].max(initial=0)),
        "features_per_group": group, "group_bins": max(np.diff(firsts), default=0),
        "wide": codes.dtype == np.uint16, "wide_sums": quantized.dtype == np.int64,
    }  # fmt: skip
    return emulator.call("pyllm_cuda_tree_histogram", "TreeHistogram", **{**args, **how})


@pytest.mark.parametrize("wide", [False, True], ids=["narrow", "wide"])
@pytest.mark.parametrize("features", [1, 4, 10])
def test_sums(emulator_for, rng, features, wide):
    """Three nodes, one of them empty, one longer than a block's rows."""
    codes, offset, quantized, rows = problem(rng, 1500, features, 500 if wide else 40, wide)
    segments = [(0, 1300), (1300, 0), (1300, 200)]
    got = run(emulator_for("plain", SOURCES), codes, offset, quantized, rows, segments)
    for (start, count), sums in zip(segments, got["histograms"], strict=True):
        mine = rows[start : start + count]
        np.testing.assert_array_equal(sums, reference.histogram(codes, quantized, mine, offset))


def test_all_rows_without_a_list(emulator_for, rng):
    codes, offset, quantized, _ = problem(rng, 300, 5)
    got = run(emulator_for("plain", SOURCES), codes, offset, quantized, None, [(0, 300)])
    expected = reference.histogram(codes, quantized, np.arange(300), offset)
    np.testing.assert_array_equal(got["histograms"][0], expected)


def test_sums_leave_32_bits_but_not_a_block(emulator_for):
    """9,000 rows of the largest integers in one bin: two blocks, summed up in 64 bits."""
    codes, quantized = np.zeros((9000, 1), np.uint8), np.full((9000, 2), 2**18 - 1, np.int32)
    quantized[:, 1] = -(2**18)
    got = run(
        emulator_for("plain", SOURCES), codes, np.array([0, 1], np.int32), quantized, None,
        [(0, 9000)],
    )  # fmt: skip
    np.testing.assert_array_equal(got["histograms"][0, 0], quantized.sum(0, dtype=np.int64))


def test_wide_sums(emulator_for, rng):
    """Integers of 45 bits, of one of two outputs: every other histogram is left alone."""
    codes, offset, quantized, rows = problem(rng, 400, 5)
    quantized = quantized.astype(np.int64) << 28
    segments, bins = [(0, 250), (250, 150)], int(offset[-1])
    got = run(
        emulator_for("plain", SOURCES), codes, offset, quantized, rows, segments,
        histograms=Out((2, 2, bins, 2), np.int64, np.full((2, 2, bins, 2), 7)),
        histogram_node_stride=4 * bins,
    )["histograms"]  # fmt: skip
    for (start, count), sums in zip(segments, got[:, 0], strict=True):
        mine = rows[start : start + count]
        np.testing.assert_array_equal(sums, reference.histogram(codes, quantized, mine, offset))
    np.testing.assert_array_equal(got[:, 1], 7)


@pytest.mark.parametrize("variant", ["asan", "tsan"])
@pytest.mark.parametrize("order", ORDERS)
def test_sanitized_in_every_order(emulator_for, rng, variant, order):
    codes, offset, quantized, rows = problem(rng, 1100, 3)
    segments = [(0, 1060), (1060, 40)]
    for integers in (quantized, quantized.astype(np.int64) << 12):  # carries in some additions
        got = run(
            emulator_for(variant, SOURCES), codes, offset, integers, rows, segments, 2,
            order=order, order_seed=3,
        )  # fmt: skip
        for (start, count), sums in zip(segments, got["histograms"], strict=True):
            mine = rows[start : start + count]
            np.testing.assert_array_equal(sums, reference.histogram(codes, integers, mine, offset))


def test_a_wide_sum_without_a_carry_takes_one_addition(emulator_for, rng):
    codes, offset, quantized, _ = problem(rng, 512, 3)
    quantized = np.abs(quantized).astype(np.int64)
    got = run(
        emulator_for("plain", SOURCES), codes, offset, quantized, None, [(0, 512)], 3, counted=True
    )
    counts = next(v for k, v in got.kernels.items() if "histogram" in k)
    assert counts["atomics"] == 2 * 512 * 3 + np.count_nonzero(got["histograms"])


def test_sibling(emulator_for, rng):
    """Of three pairs, one is left out and one takes its parent's place."""
    sums = rng.integers(-(2**60), 2**60, (6, 700, 2))
    got = emulator_for("asan", SOURCES).call(
        "pyllm_cuda_tree_subtract", "TreeSubtract", histograms=inout(sums),
        parent=np.array([4, -1, 0]), child=np.array([1, 2, 3]), sibling=np.array([5, 2, 0]),
        pairs=3, bins=700,
    )["histograms"]  # fmt: skip
    np.testing.assert_array_equal(got[5], sums[4] - sums[1])
    np.testing.assert_array_equal(got[0], sums[0] - sums[3])
    np.testing.assert_array_equal(got[1:5], sums[1:5])


def test_places(emulator_for, rng):
    """Histograms where they are wanted; a node without a place is left out."""
    codes, offset, quantized, rows = problem(rng, 300, 3)
    segments, bins = [(0, 100), (100, 0), (150, 150)], int(offset[-1])
    got = run(
        emulator_for("asan", SOURCES), codes, offset, quantized, rows, segments,
        places=np.array([2, -1, 0]),
        histograms=Out((3, bins, 2), np.int64, np.full((3, bins, 2), 7)),
    )["histograms"]  # fmt: skip
    for place, (start, count) in ((2, segments[0]), (0, segments[2])):
        mine = rows[start : start + count]
        expected = reference.histogram(codes, quantized, mine, offset)
        np.testing.assert_array_equal(got[place], expected)
    np.testing.assert_array_equal(got[1], 7)


def test_traffic(emulator_for, rng):
    """Codes once, a gradient once a row and group for all lanes of a row; two atomics a value."""
    rows, features = 512, 16
    codes, offset, quantized, _ = problem(rng, rows, features)
    got = run(
        emulator_for("plain", SOURCES), codes, offset, quantized, None, [(0, rows)], features,
        counted=True,
    )  # fmt: skip
    counts = next(v for k, v in got.kernels.items() if "histogram" in k)
    used = np.count_nonzero(got["histograms"])
    assert counts["atomics"] == 2 * rows * features + used
    assert counts["barriers"] == 2
    setup = 512 * (2 * 8 + 2 * 4)  # each thread: the node's rows, its share of the bins
    assert counts["global_read_bytes"] == setup + rows * features * (1 + 8 + 4)
    assert counts["global_write_bytes"] == 0


@pytest.mark.parametrize(
    "bad", [{"nodes": -1}, {"group_bins": 20_001}, {"features_per_group": 0}, {"most_rows": -1}],
    ids=str,
)  # fmt: skip
def test_bad_arguments_are_refused(emulator_for, rng, bad):
    codes, offset, quantized, rows = problem(rng, 30, 2)
    with pytest.raises(CudaError, match="error 1"):
        run(emulator_for("plain", SOURCES), codes, offset, quantized, rows, [(0, 30)], **bad)
