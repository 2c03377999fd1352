"""Prediction against the walk of one row through one tree at a time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from pyllm import _cpu
from pyllm.trees import Forest, Tree
from pyllm.trees.tree import NODE_DTYPES
from tests.reference import forest as reference
from tests.trees.forests import random_forest, random_rows

KINDS = st.sampled_from(
    [
        {},
        {"n_outputs": 3},
        {"n_outputs": 3, "vector": True},
        {"n_outputs": 2, "average": True},
        {"average": True, "trees": 1},
        {"float32_input": True},
        {"categorical": 0.0, "zero_missing": 0.0},
        {"categorical": 0.0, "zero_missing": 0.0, "grid": [-1.0, 0.0, 0.1, 1.0, np.inf, -np.inf]},
        {"categorical": 1.0},
        {"leaves": 1},
        {"leaves": 40, "deep": True},
        {"trees": 0},
        {"n_features": 1, "leaves": 70},
    ]
)
SEEDS = st.integers(0, 2**32 - 1)


@given(SEEDS, KINDS, st.sampled_from([np.float32, np.float64]), st.integers(0, 40))
def test_any_forest_any_rows(seed, kind, dtype, rows):
    rng = np.random.default_rng(seed)
    forest = random_forest(rng, **kind)
    X = random_rows(rng, forest, rows, dtype)
    np.testing.assert_array_equal(forest.leaves(X), reference.leaves(forest, X))
    margins = forest.predict(X)
    assert margins.dtype == np.float64
    np.testing.assert_array_equal(margins, reference.margins(forest, X))


@given(SEEDS, KINDS)
def test_stages_are_predictions_of_the_first_trees(seed, kind):
    rng = np.random.default_rng(seed)
    forest = random_forest(rng, **kind)
    X = random_rows(rng, forest, 9)
    for step in (1, 2, 3, 100):
        stages = list(forest.staged(X, step=step))
        assert len(stages) == -(-forest.n_trees // step)
        for i, margins in enumerate(stages):
            first = min((i + 1) * step, forest.n_trees)
            np.testing.assert_array_equal(margins, forest.predict(X, n_trees=first))


def layouts(X):
    """The same numbers in other places in memory."""
    wide = np.zeros((len(X) * 2, X.shape[1] * 3), X.dtype)
    wide[::2, ::3] = X
    return {
        "C": np.ascontiguousarray(X),
        "F": np.asfortranarray(X),
        "strided": wide[::2, ::3],
        "backwards": X[::-1, ::-1].copy()[::-1, ::-1],
        "read-only": np.frombuffer(X.tobytes(), X.dtype).reshape(X.shape),
        "broadcast": np.broadcast_to(X[:1], X.shape),
    }


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_layouts(rng, dtype):
    forest = random_forest(rng)
    X = random_rows(rng, forest, 300, dtype)
    for name, same in layouts(X).items():
        expected = forest.predict(X if name != "broadcast" else np.repeat(X[:1], len(X), 0))
        np.testing.assert_array_equal(forest.predict(same), expected, err_msg=name)


@pytest.mark.parametrize("kind", [np.int8, np.uint16, np.int32, np.int64, np.bool_, np.float16])
def test_other_numbers(rng, kind):
    forest = random_forest(rng)
    X = rng.integers(0, 2, (20, 5)).astype(kind)
    np.testing.assert_array_equal(forest.predict(X), forest.predict(X.astype(np.float64)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("absent", [0.0, np.nan])
@pytest.mark.parametrize("layout", ["csr", "csc"])
def test_sparse(rng, dtype, absent, layout):
    forest = random_forest(rng, n_features=9)
    X = random_rows(rng, forest, 50, dtype)
    X[rng.random(X.shape) < 0.6] = 0
    stored = sparse.csr_array(X)
    dense = np.where(X == 0, dtype(absent), X)
    matrix = stored.asformat(layout)
    np.testing.assert_array_equal(forest.predict(matrix, absent=absent), forest.predict(dense))
    np.testing.assert_array_equal(forest.leaves(matrix, absent=absent), forest.leaves(dense))


def test_sparse_corners(rng):
    forest = random_forest(rng, n_features=3)
    empty = sparse.csr_array((4, 3))
    np.testing.assert_array_equal(forest.predict(empty), forest.predict(np.zeros((4, 3))))
    stored_zero = sparse.csr_array((np.array([0.0]), np.array([1]), np.array([0, 1])), shape=(1, 3))
    explicit = np.array([[np.nan, 0.0, np.nan]])
    np.testing.assert_array_equal(
        forest.predict(stored_zero, absent=np.nan), forest.predict(explicit)
    )
    twice = sparse.csr_array(
        (np.array([1.0, 2.0]), np.array([2, 2]), np.array([0, 2])), shape=(1, 3)
    )
    np.testing.assert_array_equal(forest.predict(twice), forest.predict(np.array([[0.0, 0, 3.0]])))


def test_hostile_sparse(rng):
    forest = random_forest(rng, n_features=3)
    with pytest.raises(ValueError, match="expected 3 features"):
        forest.predict(sparse.csr_array((4, 2)))
    with pytest.raises(ValueError, match="CSR or CSC"):
        forest.predict(sparse.coo_array((4, 3)))
    for name, value in (("indices", 3), ("indices", -1), ("indptr", 7), ("indptr", -1)):
        matrix = sparse.csr_array(np.ones((2, 3)))
        getattr(matrix, name)[1] = value
        with pytest.raises(ValueError, match=r"^X: "):
            forest.predict(matrix)
    matrix = sparse.csr_array(np.ones((2, 3)))
    matrix.data = matrix.data[:4]
    with pytest.raises(ValueError, match=r"^X: expected 6 stored"):
        forest.predict(matrix)


@pytest.mark.parametrize(
    "kind",
    [{}, {"categorical": 0.0}, {"n_outputs": 3, "vector": True}, {"n_features": 3000, "trees": 40}],
    ids=str,
)
def test_same_bits_at_any_thread_count(rng, isa, threads, kind):
    forest = random_forest(rng, **kind)
    X = random_rows(rng, forest, 1001)
    X[np.abs(X) > 1e38] = 7
    few = [forest.predict(X[i : i + 7]) for i in range(0, len(X), 7)]
    for n in (1, 2, 5):
        threads(n)
        for dtype in (np.float32, np.float64):
            np.testing.assert_array_equal(
                forest.predict(X.astype(dtype))[:40],
                reference.margins(forest, X[:40].astype(dtype)),
            )
        np.testing.assert_array_equal(forest.predict(X), np.concatenate(few))


def test_large_trees_and_many_columns(rng, isa):
    """Nodes that need 32 bits for a child or a column."""
    for kind in (
        {"leaves": 40_000, "trees": 2},
        {"n_features": 9000, "leaves": 20_000, "trees": 1},
    ):
        forest = random_forest(rng, categorical=0.0, zero_missing=0.0, **kind)
        X = random_rows(rng, forest, 11, np.float32)
        np.testing.assert_array_equal(forest.leaves(X), reference.leaves(forest, X))


def test_float64_rows_meet_float32_thresholds(rng):
    """Where every threshold is a float32, rounding a row up changes no comparison."""
    forest = random_forest(rng, grid=np.float32(rng.normal(size=20)), categorical=0.2, trees=30)
    t = forest.threshold[forest.feature >= 0]
    X = rng.choice(np.concatenate([t, np.nextafter(t, np.inf), np.nextafter(t, -np.inf)]), (400, 5))
    X[rng.random(X.shape) < 0.1] = rng.choice([1e-60, -1e-60, 1e39, -1e39, np.nan, -0.0])
    np.testing.assert_array_equal(forest.leaves(X), reference.leaves(forest, X))


def test_no_features():
    forest = Forest.concat([Tree.leaf(2.0)] * 3, n_features=0)
    np.testing.assert_array_equal(forest.predict(np.zeros((2, 0))), [[6.0], [6.0]])


def test_the_kernel_checks_what_it_is_given(rng):
    forest = random_forest(rng)
    forest.predict(np.zeros((1, 5)))
    (packed,) = forest.traversal._packed.values()
    ok = {"round_up": False, "first_tree": 0, "end_tree": 7}
    X, offsets = np.zeros((2, 5)), np.array([0, 1, 2])
    for arguments in (
        {"X": X, **ok, "end_tree": 8},
        {"X": X, **ok, "first_tree": -1},
        {"X": X[:, :4], **ok},
        {"X": X, **ok, "out": np.zeros((2, 2))},
        {"X": np.zeros(2), **ok, "indptr": offsets, "indices": np.array([0, 5])},
        {"X": np.zeros(2), **ok, "indptr": offsets, "indices": np.array([0, -1])},
        {"X": np.zeros(2), **ok, "indptr": offsets[::-1].copy(), "indices": np.array([0, 1])},
        {"X": np.zeros(1), **ok, "indptr": offsets, "indices": np.array([0])},
        {"X": np.zeros(2), **ok, "indptr": offsets},
    ):
        with pytest.raises(ValueError, match="expected"):
            _cpu.forest_predict(packed, **arguments)


def test_packing_checks_what_it_is_given(rng):
    forest = random_forest(rng)
    names = ("n_features", "n_outputs", "tree_offset", "tree_output", *NODE_DTYPES)
    arrays = {n: getattr(forest, n) for n in names if n not in ("gain", "cover", "count")}
    for name, index, value in (
        ("tree_offset", 0, 1),
        ("tree_offset", 1, 0),
        ("tree_offset", -1, 2**40),
        ("tree_output", 0, 1),
        ("feature", 0, 5),
        ("left", 0, 0),
        ("left", 0, 2**31 - 1),
        ("right", 0, 1),
        ("category_offset", 0, 2**62),
    ):
        broken = {**arrays, name: arrays[name].copy()}
        broken[name][index] = value
        with pytest.raises(ValueError, match=r"expected"):
            _cpu.PackedForest(**broken, wide_keys=False)
    with pytest.raises(ValueError, match="threshold"):
        _cpu.PackedForest(**{**arrays, "threshold": arrays["threshold"][:-1]}, wide_keys=False)
