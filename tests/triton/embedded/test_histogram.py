"""Gradient histograms by the kernels that are built in: exact sums."""

import numpy as np
import pytest

from pyllm import cuda
from tests.triton.embedded.driver import module


def expected(bins, gradients, max_bin, rows):
    sums = np.zeros((bins.shape[0], max_bin, 2), np.int64)
    for feature, row in enumerate(bins):
        np.add.at(sums[feature], row[rows], gradients[rows])
    return sums


def histogram(bins, gradients, max_bin, rows=None):
    arrays = [cuda.to_device(a) for a in (bins, gradients)]
    return module().triton.histogram(
        *arrays, max_bin, None if rows is None else cuda.to_device(rows)
    ).numpy()  # fmt: skip


@pytest.mark.parametrize("index", [None, np.int32, np.int64])
@pytest.mark.parametrize("storage", [np.uint8, np.int16])
def test_sums_are_exact(driver, storage, index):
    driver.interpret = True
    rng = np.random.default_rng(4)
    max_bin = 250 if storage == np.uint8 else 1000
    bins = rng.integers(0, max_bin, (3, 1500)).astype(storage)
    gradients = rng.integers(-(2**31), 2**31, (1500, 2)).astype(np.int32)
    rows = None if index is None else np.flatnonzero(rng.random(1500) < 0.7).astype(index)
    wanted = expected(bins, gradients, max_bin, slice(None) if rows is None else rows)
    np.testing.assert_array_equal(histogram(bins, gradients, max_bin, rows), wanted)
    assert [launch.grid for launch in driver.launched] == [(6, 1, 1)]  # 1024 rows a program


def test_rows_and_bins_out_of_range_are_left_out(driver):
    driver.interpret = True
    bins = np.array([[0, 5, -1, 1]], np.int16)
    gradients = np.arange(8, dtype=np.int32).reshape(4, 2)
    got = histogram(bins, gradients, 2, np.array([0, 1, 2, 3, 4, -1]))
    np.testing.assert_array_equal(got, [[[0, 1], [6, 7]]])


def test_nothing_to_do(driver):
    empty = histogram(np.zeros((2, 0), np.uint8), np.zeros((0, 2), np.int32), 3)
    np.testing.assert_array_equal(empty, np.zeros((2, 3, 2)))
    assert driver.launched == []


BINS, GRADIENTS = np.zeros((2, 4), np.uint8), np.zeros((4, 2), np.int32)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((BINS.astype(np.float32), GRADIENTS, 4), TypeError, "bins: expected dtype"),
        ((BINS[0], GRADIENTS, 4), ValueError, "bins: expected 2 axes"),
        ((BINS, GRADIENTS[:3], 4), ValueError, "gradients: expected shape"),
        ((BINS, GRADIENTS, 0), ValueError, "max_bin: expected at least 1, got 0"),
        ((BINS, GRADIENTS, 4, GRADIENTS), ValueError, "rows: expected 1 axes"),
    ],
)
def test_errors(driver, arguments, error, message):
    with pytest.raises(error, match=message):
        histogram(*arguments)
    assert driver.launched == []
