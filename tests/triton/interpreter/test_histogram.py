"""Gradient histograms through Triton's interpreter: exact sums."""

import numpy as np
import pytest
import torch

from pyllm.kernels.triton import histogram


def expected(bins, gradients, max_bin, rows):
    sums = np.zeros((bins.shape[0], max_bin, 2), np.int64)
    for feature, row in enumerate(bins):
        np.add.at(sums[feature], row[rows], gradients[rows])
    return sums


@pytest.mark.parametrize("storage", [np.uint8, np.int16])
@pytest.mark.parametrize("samples", [0, 1, 1500])
def test_sums_are_exact(storage, samples, rng):
    max_bin = 250 if storage == np.uint8 else 1000
    bins = rng.integers(0, max_bin, (3, samples)).astype(storage)
    gradients = rng.integers(-(2**31), 2**31, (samples, 2)).astype(np.int32)
    tensors = torch.from_numpy(bins), torch.from_numpy(gradients)
    everything = np.arange(samples)
    got = histogram(*tensors, max_bin)
    np.testing.assert_array_equal(got, expected(bins, gradients, max_bin, everything))
    rows = everything[rng.random(samples) < 0.4]
    got = histogram(*tensors, max_bin, torch.from_numpy(rows))
    np.testing.assert_array_equal(got, expected(bins, gradients, max_bin, rows))


BINS = torch.zeros(2, 4, dtype=torch.uint8)
GRADIENTS = torch.zeros(4, 2, dtype=torch.int32)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((BINS.float(), GRADIENTS, 4), TypeError, "bins: expected dtype uint8 or int16"),
        ((BINS[0], GRADIENTS, 4), ValueError, "bins: expected 2 axes"),
        ((BINS + 9, GRADIENTS, 4), ValueError, "bins: expected 0 <= bin < 4, got 9"),
        ((BINS, GRADIENTS.float(), 4), TypeError, "gradients: expected dtype int32"),
        ((BINS, GRADIENTS[:3], 4), ValueError, "gradients: expected shape"),
        ((BINS, GRADIENTS, 0), ValueError, "max_bin: expected at least 1"),
        ((BINS, GRADIENTS, 4, torch.tensor([4])), ValueError, "rows: expected 0 <= row < 4, got 4"),
        ((BINS, GRADIENTS, 4, torch.ones(4)), TypeError, "rows: expected dtype int32"),
    ],
)
def test_bad_input(arguments, error, message):
    with pytest.raises(error, match=message):
        histogram(*arguments)
