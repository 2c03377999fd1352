"""Rows of nodes through the emulator: copies of segments, and what children are made of."""

import numpy as np
import pytest

from tests.cuda.emulator.build import KERNELS
from tests.cuda.emulator.client import ORDERS, CudaError, Out, inout

SOURCES = [KERNELS / "tree_rows.cu"]


def copy(emulator, to, segments, source=None, **how):
    segments = np.asarray(segments, np.int64)
    return emulator.call(
        "pyllm_cuda_tree_copy_rows", "TreeCopyRows", to=inout(to), segments=segments,
        **{"from": source, "nodes": len(segments), "most_rows": int(segments[:, 1].max()), **how},
    )["to"]  # fmt: skip


@pytest.mark.parametrize(("variant", "order"), [("asan", o) for o in ORDERS] + [("tsan", "random")])
def test_copies_segments_and_nothing_else(emulator_for, rng, variant, order):
    source = rng.integers(0, 9999, 5000).astype(np.int32)
    to = np.full(5000, -1, np.int32)
    segments = [(0, 3), (100, 0), (150, 2500), (4999, 1)]
    got = copy(emulator_for(variant, SOURCES), to, segments, source, order=order)
    expected = to.copy()
    for start, count in segments:
        expected[start : start + count] = source[start : start + count]
    np.testing.assert_array_equal(got, expected)


def test_numbers_where_there_is_nothing_to_copy(emulator_for):
    got = copy(emulator_for("asan", SOURCES), np.full(3000, -1, np.int32), [(0, 3000)])
    np.testing.assert_array_equal(got, np.arange(3000))


@pytest.mark.parametrize("variant", ["asan", "tsan"])
def test_children(emulator_for, variant):
    """More rows on the left, on the right, as many; the last without its parent's histogram."""
    got = emulator_for(variant, SOURCES).call(
        "pyllm_cuda_tree_children", "TreeChildren", nodes=4,
        segments=np.array([(0, 10), (10, 10), (20, 10), (30, 10)]), lefts=np.array([7, 3, 5, 7]),
        parent_places=np.array([8, 9, 10, -1]), places=np.arange(8).reshape(4, 2),
        summed=Out((4, 2, 2), np.int64), summed_places=Out((4, 2), np.int64),
        known=Out((4,), np.int64), sibling=Out((4,), np.int64),
    )  # fmt: skip
    np.testing.assert_array_equal(
        got["summed"],
        [[(0, 0), (7, 3)], [(10, 3), (13, 0)], [(20, 5), (25, 0)], [(30, 7), (37, 3)]],
    )
    np.testing.assert_array_equal(got["summed_places"], [(-1, 1), (2, -1), (4, -1), (6, 7)])
    np.testing.assert_array_equal(got["known"][:3], [1, 2, 4])
    np.testing.assert_array_equal(got["sibling"][:3], [0, 3, 5])


@pytest.mark.parametrize("bad", [{"nodes": -1}, {"nodes": 65_536}, {"most_rows": -1}], ids=str)
def test_bad_arguments_are_refused(emulator_for, bad):
    with pytest.raises(CudaError, match="error 1"):
        copy(emulator_for("asan", SOURCES), np.zeros(3, np.int32), [(0, 3)], **bad)
