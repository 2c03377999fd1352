"""Prediction by trees through the emulator: equal to the CPU's forest, to the bit."""

import numpy as np
import pytest

from tests.cuda.emulator.build import KERNELS
from tests.cuda.emulator.client import CudaError, Out
from tests.trees.forests import random_forest, random_rows

SOURCES = [KERNELS / "tree_predict.cu"]
NODE_FIELDS = (
    "tree_offset", "tree_output", "feature", "threshold", "left", "right", "category_offset",
    "category_words", "category_bits", "value", "base_score",
)  # fmt: skip


def predict(emulator, forest, x, *, first=0, last=None, margin_out=None, leaves=False, **how):
    last = forest.n_trees if last is None else last
    strides = [s // x.itemsize for s in x.strides]
    given = {name: getattr(forest, name) for name in NODE_FIELDS}
    for name in ("default_left", "zero_is_missing"):
        given[name] = getattr(forest, name).astype(np.uint8)
    args = {
        "x": x, **given,
        "margin": margin_out or Out((len(x), forest.n_outputs), np.float64),
        "leaves": Out((len(x), last - first), np.int32) if leaves else None,
        "rows": len(x), "outputs": forest.n_outputs, "width": forest.value.shape[1],
        "first_tree": first, "last_tree": last, "x_row_stride": strides[0],
        "x_column_stride": strides[1], "x_float64": x.dtype == np.float64,
        "float32_input": forest.float32_input, "average": forest.average,
    }  # fmt: skip
    return emulator.call("pyllm_cuda_tree_predict", "TreePredict", **{**args, **how})


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("float32_input", [False, True])
@pytest.mark.parametrize(
    "kind",
    [{}, {"n_outputs": 3}, {"n_outputs": 3, "vector": True, "average": True},
     {"average": True}, {"n_outputs": 4, "trees": 3, "average": True}, {"leaves": 1},
     {"deep": True, "leaves": 40}],
    ids=str,
)  # fmt: skip
def test_margins_and_leaves(emulator_for, rng, kind, float32_input, dtype):
    forest = random_forest(rng, float32_input=float32_input, **kind)
    x = random_rows(rng, forest, dtype=dtype)
    got = predict(emulator_for("plain", SOURCES), forest, x, leaves=True)
    np.testing.assert_array_equal(got["leaves"], forest.leaves(x))
    np.testing.assert_array_equal(got["margin"], forest.predict(x))


def test_some_trees_of_strided_rows(emulator_for, rng):
    """Column-major rows are read where they lie; more rows than a block has threads."""
    forest = random_forest(rng)
    rows = random_rows(rng, forest, rows=150)
    columns = np.ascontiguousarray(rows.T)
    strides = {"x_row_stride": 1, "x_column_stride": 150, "rows": 150}
    margin = Out((150, 1), np.float64)
    got = predict(
        emulator_for("asan", SOURCES),
        forest,
        columns,
        first=2,
        last=5,
        **strides,
        margin_out=margin,
    )
    np.testing.assert_array_equal(got["margin"], forest.predict(rows, first_tree=2, n_trees=3))


def test_no_trees_and_no_rows(emulator_for, rng):
    emulator = emulator_for("plain", SOURCES)
    forest = random_forest(rng, n_outputs=2)
    x = random_rows(rng, forest, rows=3)
    got = predict(emulator, forest, x, last=0)["margin"]
    np.testing.assert_array_equal(got, np.tile(forest.base_score, (3, 1)))
    assert predict(emulator, forest, x[:0])["margin"].shape == (0, 2)


def test_rows_write_their_margin_once(emulator_for, rng):
    forest = random_forest(rng)
    x = random_rows(rng, forest, rows=40)
    (counts,) = predict(emulator_for("plain", SOURCES), forest, x, counted=True).kernels.values()
    assert counts["global_write_bytes"] == 40 * 8
    assert counts["atomics"] == counts["barriers"] == 0


@pytest.mark.parametrize("bad", [{"rows": -1}, {"outputs": 0}, {"last_tree": -1}], ids=str)
def test_bad_arguments_are_refused(emulator_for, rng, bad):
    forest = random_forest(rng)
    with pytest.raises(CudaError, match="error 1"):
        predict(emulator_for("plain", SOURCES), forest, random_rows(rng, forest), **bad)
