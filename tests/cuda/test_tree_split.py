"""The search for splits through the emulator: equal to NumPy to the bit, ties and all."""

import numpy as np
import pytest

from tests.cuda import trees_reference as reference
from tests.cuda.emulator.build import KERNELS
from tests.cuda.emulator.client import ORDERS, CudaError, Out

SOURCES = [KERNELS / "tree_split.cu"]
UNITS = np.array([2.0**-12, 2.0**-14])


def problem(rng, nodes, features, outputs=1, most_bins=20, missing=0.5):
    """Histograms of rows with random codes; some features have a code for missing values."""
    bins = rng.integers(1, most_bins, features)
    has_missing = (rng.random(features) < missing).astype(np.uint8)
    offset = np.cumsum([0, *(bins + has_missing)]).astype(np.int32)
    histograms = np.zeros((nodes, outputs, int(offset[-1]), 2), np.int64)
    for node in range(nodes):
        n = int(rng.integers(1, 200))
        quantized = np.stack(
            [rng.integers(-5000, 5000, (outputs, n)), rng.integers(1, 5000, (outputs, n))], -1
        )
        for f in range(features):
            codes = rng.integers(0, offset[f + 1] - offset[f], n)
            for o in range(outputs):
                np.add.at(histograms[node, o], offset[f] + codes, quantized[o])
    totals = histograms[:, :, offset[0] : offset[1]].sum(2)
    return histograms, totals, offset, has_missing


def run(emulator, histograms, totals, offset, has_missing, *, allowed=None, monotone=None,
        bounds=None, l1=0.0, l2=1.0, max_delta_step=0.0, min_gain=0.0, min_child_weight=0.0,
        least_hessian_sum=0, counts=None, min_child_samples=0, **how):  # fmt: skip
    nodes, outputs, total_bins, _ = histograms.shape
    features = len(has_missing)
    args = {
        "histograms": histograms, "places": None, "totals": totals, "units": UNITS,
        "bin_offset": offset, "has_missing": has_missing,
        "allowed": allowed, "monotone": monotone, "bounds": bounds,
        "feature_gains": Out((nodes, features), np.float64),
        "feature_cuts": Out((nodes, features), np.int32), "gains": Out((nodes,), np.float64),
        "features_found": Out((nodes,), np.int32), "bins": Out((nodes,), np.int32),
        "missing_left": Out((nodes,), np.int32), "saw_missing": Out((nodes,), np.int32),
        "left": Out((nodes, outputs, 2), np.int64),
        "nodes": nodes, "outputs": outputs, "features": features, "total_bins": total_bins,
        "l1": l1, "l2": l2, "max_delta_step": max_delta_step, "min_gain": min_gain,
        "min_child_weight": min_child_weight, "least_hessian_sum": least_hessian_sum,
        "counts": None if counts is None else np.stack([0 * counts, counts], -1),
        "node_rows": None if counts is None else counts[:, : offset[1]].sum(1),
        "min_child_samples": min_child_samples,
    }  # fmt: skip
    return emulator.call("pyllm_cuda_tree_split", "TreeSplit", **{**args, **how})


def check(got, made, *, allowed=None, monotone=None, bounds=None, counts=None, **options):
    histograms, totals, offset, has_missing = made
    for node in range(len(histograms)):
        gain, feature, cut, missing_left, left = reference.best_split(
            histograms[node], totals[node], UNITS, offset, has_missing,
            allowed=None if allowed is None else allowed[node], monotone=monotone,
            bounds=(-np.inf, np.inf) if bounds is None else bounds[node],
            counts=None if counts is None else counts[node], **options,
        )  # fmt: skip
        assert got["features_found"][node] == feature
        assert got["gains"][node] == gain
        if feature >= 0:
            assert got["bins"][node] == cut
            assert got["missing_left"][node] == missing_left
            last = histograms[node][:, offset[feature + 1] - 1]
            assert got["saw_missing"][node] == (has_missing[feature] and last.any())
            np.testing.assert_array_equal(got["left"][node], left)


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize(
    "options",
    [
        {}, {"l2": 0.0}, {"l1": 0.5}, {"max_delta_step": 0.1}, {"min_gain": 0.7},
        {"min_child_weight": 5.0}, {"least_hessian_sum": 90_000}, {"l1": 0.2, "max_delta_step": 1},
    ],
    ids=str,
)  # fmt: skip
def test_splits(emulator_for, rng, options, outputs):
    made = problem(rng, 5, 4, outputs)
    check(run(emulator_for("plain", SOURCES), *made, **options), made, **options)


def test_monotone_bounded_and_sampled(emulator_for, rng):
    made = problem(rng, 6, 5)
    options = {
        "allowed": (rng.random((6, 5)) < 0.6).astype(np.uint8),
        "monotone": np.array([1, -1, 0, 1, -1], np.int8),
        "bounds": np.sort(rng.normal(0, 0.3, (6, 2)), 1),
    }
    check(run(emulator_for("plain", SOURCES), *made, **options), made, **options)


@pytest.mark.parametrize("most_bins", [20, 600])
def test_children_of_enough_rows(emulator_for, rng, most_bins):
    made = problem(rng, 5, 3, most_bins=most_bins)
    offset = made[2]
    rows = 100
    counts = np.zeros((5, int(offset[-1])), np.int64)
    for node in range(5):
        for f in range(3):
            codes = rng.integers(offset[f], offset[f + 1], rows)
            np.add.at(counts[node], codes, 1)
    options = {"counts": counts, "min_child_samples": 37}
    check(run(emulator_for("plain", SOURCES), *made, **options), made, **options)


def test_more_cuts_than_threads(emulator_for, rng):
    """Running sums are carried from one round of cuts to the next, for each output."""
    made = problem(rng, 2, 2, outputs=2, most_bins=700)
    check(run(emulator_for("plain", SOURCES), *made), made)


def test_ties_go_to_the_lower_feature_bin_and_missing_right(emulator_for):
    """Two features with the same two equal cuts, with nothing between them."""
    one = np.array([[8, 4], [0, 0], [-8, 4], [0, 0]], np.int64) << 12
    histograms = np.concatenate([one, one])[None, None]
    made = (
        histograms, one.sum(0)[None, None], np.array([0, 4, 8], np.int32), np.zeros(2, np.uint8)
    )  # fmt: skip
    got = run(emulator_for("plain", SOURCES), *made)
    check(got, made)
    assert (got["features_found"][0], got["bins"][0]) == (0, 0)


def test_nothing_to_split(emulator_for):
    """One bin a feature, or none of the features allowed."""
    made = (
        np.ones((2, 1, 2, 2), np.int64), np.ones((2, 1, 2), np.int64),
        np.array([0, 1, 2], np.int32), np.zeros(2, np.uint8),
    )  # fmt: skip
    got = run(emulator_for("plain", SOURCES), *made, allowed=np.array([[1, 1], [0, 0]], np.uint8))
    np.testing.assert_array_equal(got["features_found"], -1)
    assert np.isneginf(got["gains"]).all()


@pytest.mark.parametrize("variant", ["asan", "tsan"])
@pytest.mark.parametrize("order", ORDERS)
def test_sanitized_in_every_order(emulator_for, rng, variant, order):
    made = problem(rng, 2, 3, outputs=2, most_bins=300)
    check(run(emulator_for(variant, SOURCES), *made, order=order, order_seed=2), made)


@pytest.mark.parametrize("bad", [{"nodes": -1}, {"outputs": 0}, {"l2": np.nan}], ids=str)
def test_bad_arguments_are_refused(emulator_for, rng, bad):
    with pytest.raises(CudaError, match="error 1"):
        run(emulator_for("plain", SOURCES), *problem(rng, 1, 1), **bad)
