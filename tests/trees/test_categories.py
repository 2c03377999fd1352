"""Categorical features: which categories go left, and that prediction agrees."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyllm.trees import Dataset, Forest, TreeParameters, grow_tree

FREE = {"min_category_samples": 0, "min_group_samples": 0}
SMOOTHLESS = {"cat_smooth": 0.0, "cat_l2": 0.0, "max_cat_threshold": 100, **FREE}


def data(rng, n, categories, missing=0.0):
    X = rng.integers(0, categories, (n, 1)).astype(np.float64)
    X[rng.random((n, 1)) < missing] = np.nan
    g = (rng.integers(-64, 65, n) / 32).astype(np.float32)
    h = (rng.integers(1, 33, n) / 32).astype(np.float32)
    return X, g, h


def gain_of(left, g, h, reg_lambda=1.0):
    def score(rows):
        return g[rows].sum() ** 2 / (h[rows].sum() + reg_lambda)

    return score(left) + score(~left) - score(np.ones(len(g), bool))


def exhaustive(X, g, h, max_size=None):
    """Best gain over all ways to part the categories, missing being one."""
    codes = np.where(np.isnan(X[:, 0]), -1, X[:, 0])
    present = np.unique(codes)
    sizes = range(1, len(present)) if max_size is None else range(1, max_size + 1)
    parts = (set(c) for size in sizes for c in combinations(present, size))
    return max(gain_of(np.isin(codes, list(part)), g.astype(float), h) for part in parts)


@given(
    seed=st.integers(0, 10**6),
    categories=st.integers(5, 8),
    missing=st.sampled_from([0.0, 0.2]),
    n=st.sampled_from([60, 400]),
)
def test_the_best_of_all_subsets_is_found(seed, categories, missing, n):
    # Without lambda the best partition is a cut in the order of G / H (Fisher 1958).
    X, g, h = data(np.random.default_rng(seed), n, categories, missing)
    p = TreeParameters(max_leaves=2, reg_lambda=0.0, **SMOOTHLESS)
    tree = grow_tree(Dataset(X, categorical=[0]), g, h, p).tree
    codes = np.where(np.isnan(X[:, 0]), -1, X[:, 0])
    present = np.unique(codes)
    best = max(
        gain_of(np.isin(codes, part), g.astype(float), h, 0.0)
        for size in range(1, len(present))
        for part in combinations(present, size)
    )
    np.testing.assert_allclose(tree.gain[0], best, rtol=1e-5)


@given(seed=st.integers(0, 10**6), missing=st.sampled_from([0.0, 0.2]))
def test_few_categories_are_parted_one_from_the_others(seed, missing):
    X, g, h = data(np.random.default_rng(seed), 200, 4, missing)
    tree = grow_tree(Dataset(X, categorical=[0]), g, h, TreeParameters(max_leaves=2)).tree
    np.testing.assert_allclose(tree.gain[0], exhaustive(X, g, h, max_size=1), rtol=1e-5)


@pytest.mark.parametrize("missing", [0.0, 0.15])
@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_prediction_agrees_with_training(missing, outputs, dtype):
    rng = np.random.default_rng(4)
    n = 6000
    X = rng.normal(size=(n, 3)).astype(dtype)
    X[:, 1] = rng.integers(0, 300, n) * 7  # far apart, more than a byte holds
    X[:, 2] = rng.integers(0, 20, n)
    X[rng.random(X.shape) < missing] = np.nan
    effect = rng.normal(size=(2100, outputs))
    g = effect[np.nan_to_num(X[:, 1]).astype(int)] + rng.normal(size=(n, outputs))
    dataset = Dataset(X, categorical=[1, 2], max_bin=400)
    rows = np.flatnonzero(rng.random(n) < 0.7)
    p = TreeParameters(max_leaves=40, **FREE)
    grown = grow_tree(dataset, g, np.ones((n, outputs)), p, rows=rows)
    assert (grown.tree.category_offset[grown.tree.feature == 1] >= 0).all()
    assert {1} <= set(grown.tree.feature.tolist())
    leaves = Forest.concat([grown.tree], n_features=3, n_outputs=outputs).leaves(X)[:, 0]
    np.testing.assert_array_equal(leaves, grown.leaf_of_row)
    split = grown.tree.category_offset >= 0
    assert not grown.tree.default_left[split].any()


def test_children_keep_their_least_rows():
    X, g, _ = data(np.random.default_rng(0), 500, 30)
    h = np.random.default_rng(1).random(500)
    p = TreeParameters(max_leaves=None, min_child_samples=25, cat_smooth=0.0, **FREE)
    counts = grow_tree(Dataset(X, categorical=[0]), g, h, p).tree.count
    assert len(counts) > 5
    assert counts.min() >= 25


def test_at_most_so_many_categories_on_one_side():
    X, _, _ = data(np.random.default_rng(0), 2000, 40)
    g = np.where(X[:, 0] % 2 == 0, 1.0, -1.0)
    p = TreeParameters(max_leaves=2, max_cat_threshold=3, **FREE)
    tree = grow_tree(Dataset(X, categorical=[0]), g, np.ones(2000), p).tree
    left = sum(int(word).bit_count() for word in tree.category_bits)
    assert min(left, 40 - left) == 3


def went_left(tree, categories):
    """Which categories the root sends left."""
    bits = tree.category_bits[: tree.category_words[0]]
    return {c for c in range(categories) if c // 32 < len(bits) and bits[c // 32] >> c % 32 & 1}


def test_categories_of_few_rows_stay_on_the_right():
    # By their gradients the rarest would lead from either end.
    counts = np.array([9, 30, 200, 200, 200, 9, 30])
    X = np.repeat(np.arange(7.0), counts)[:, np.newaxis]
    g = np.repeat([-9.0, -3.0, -1.0, 0.0, 1.0, 9.0, 3.0], counts)
    dataset = Dataset(X, categorical=[0])

    def left(**options):
        p = TreeParameters(max_leaves=2, **{**SMOOTHLESS, **options})
        return went_left(grow_tree(dataset, g, np.ones(len(g)), p).tree, 7)

    assert left() == {0, 1, 2}
    assert left(min_category_samples=10) == {1, 2}
    assert left(min_category_samples=31) in ({2}, {4})
    assert left(min_category_samples=1000) == set()


@given(seed=st.integers(0, 10**6), least=st.sampled_from([1, 60, 150]))
def test_subsets_are_tried_a_group_of_rows_apart(seed, least):
    """With unit hessians rows are counted exactly: all cuts of the order are known."""
    X, g, _ = data(np.random.default_rng(seed), 600, 12)
    h, code = np.ones(600, np.float32), X[:, 0].astype(int)
    p = TreeParameters(max_leaves=2, reg_lambda=0.0, **{**SMOOTHLESS, "min_group_samples": least})
    tree = grow_tree(Dataset(X, categorical=[0]), g, h, p).tree
    rows, sums = np.bincount(code), np.bincount(code, g)
    order = np.argsort(sums / rows, kind="stable")
    best = 0.0
    for way in (order, order[::-1]):
        group = 0
        for n in range(1, 12):
            group += rows[way[n - 1]]
            if group >= least and 600 - rows[way[:n]].sum() >= least:
                group = 0
                best = max(best, gain_of(np.isin(code, way[:n]), g.astype(float), h, 0.0))
    np.testing.assert_allclose(tree.gain[0], best, rtol=1e-5)


def test_rare_and_unknown_categories_count_as_missing():
    X = np.array([0.0] * 10 + [1] * 9 + [2] * 8 + [5])[:, np.newaxis]
    dataset = Dataset(X, categorical=[0], max_bin=3)
    assert dataset.categories[0].tolist() == [0, 1, 2]
    assert dataset.missing.tolist() == [True]
    other = Dataset(np.array([[0.0], [9.0]]), reference=dataset)
    assert other.categories[0].tolist() == [0, 1, 2]
    assert other.missing.tolist() == [True]


def test_same_tree_on_any_number_of_threads(threads, isa):
    rng = np.random.default_rng(8)
    X = np.column_stack([rng.integers(0, 100, 20_000), rng.normal(size=20_000)])
    g = rng.normal(size=100)[X[:, 0].astype(int)] + X[:, 1]
    trees = []
    for n in (1, 2, 4):
        threads(n)
        dataset = Dataset(X, categorical=[0])
        trees.append(grow_tree(dataset, g, np.ones(20_000), TreeParameters(max_leaves=50)).tree)
    for tree in trees[1:]:
        np.testing.assert_array_equal(tree.category_bits, trees[0].category_bits)
        np.testing.assert_array_equal(tree.value, trees[0].value)


@pytest.mark.parametrize(
    ("X", "categorical", "message"),
    [
        ([[0.5], [1]], [0], "feature 0 is categorical, expected whole numbers"),
        ([[-1.0], [1]], [0], "feature 0 is categorical, expected whole numbers"),
        ([[np.inf], [1]], [0], "feature 0 is categorical, expected whole numbers"),
        ([[1.0], [1]], [1], "categorical: expected 0 to 0, got 1"),
        ([[1.0], [1]], ["a"], "categorical: no feature is named 'a'"),
    ],
)
def test_refuses(X, categorical, message):
    with pytest.raises(ValueError, match=message):
        Dataset(np.array(X), categorical=categorical)


def test_a_categorical_feature_cannot_be_monotone():
    dataset = Dataset(np.arange(6.0)[:, np.newaxis], categorical=[0])
    with pytest.raises(ValueError, match="monotone: feature 0 is categorical"):
        grow_tree(dataset, np.ones(6), np.ones(6), TreeParameters(monotone=(1,)))
