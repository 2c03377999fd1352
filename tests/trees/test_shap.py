"""TreeSHAP against Shapley's definition, and what must add up."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from pyllm.trees import Forest, Tree
from tests.reference.shap import shapley
from tests.trees.forests import random_forest, random_rows

SEEDS = st.integers(0, 2**32 - 1)
KINDS = st.sampled_from(
    [
        {},
        {"n_outputs": 2},
        {"n_outputs": 2, "vector": True},
        {"float32_input": True},
        {"leaves": 1},
        {"leaves": 12, "n_features": 2, "deep": True},
        {"n_features": 1},
        {"trees": 0},
    ]
)


@settings(max_examples=25)
@given(SEEDS, KINDS, st.sampled_from(["count", "cover"]))
def test_shapley_by_definition(seed, kind, weight):
    rng = np.random.default_rng(seed)
    forest = random_forest(
        rng, **{"trees": 2, "n_features": 4, "leaves": 6, "base_score": 0.0, **kind}
    )
    X = random_rows(rng, forest, 3)
    values, pairs = forest.shap(X, weight=weight), forest.shap(X, weight=weight, interactions=True)
    for i, row in enumerate(X):
        expected_values, expected_pairs = shapley(forest, row, getattr(forest, weight))
        np.testing.assert_allclose(values[i], expected_values, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(pairs[i], expected_pairs, rtol=1e-10, atol=1e-12)


@given(SEEDS, KINDS, st.booleans())
def test_they_add_up(seed, kind, average):
    rng = np.random.default_rng(seed)
    forest = random_forest(rng, average=average, **{"leaves": 30, **kind})
    X = random_rows(rng, forest, 21)
    values = forest.shap(X)
    assert values.shape == (21, forest.n_outputs, forest.n_features + 1)
    np.testing.assert_allclose(values.sum(2), forest.predict(X), rtol=1e-9, atol=1e-9)
    pairs = forest.shap(X, interactions=True)
    np.testing.assert_allclose(pairs.sum(3), values, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(pairs, pairs.swapaxes(2, 3), rtol=1e-9, atol=1e-9)


def test_a_split_by_hand():
    """One split, 1 of 4 rows left: the feature explains the way from the mean."""
    tree = Tree(
        feature=[1, -1, -1], threshold=[0.0, 0, 0], left=[1, -1, -1], right=[2, -1, -1],
        default_left=[False] * 3, value=[0.0, 8.0, 0.0], gain=[1.0, 0, 0],
        cover=[2.0, 1.0, 1.0], count=[4, 1, 3],
    )  # fmt: skip
    forest = Forest.concat([tree], n_features=2, base_score=1.0)
    X = np.array([[0, -1], [0, 1]])
    np.testing.assert_allclose(forest.shap(X)[:, 0], [[0, 6, 3], [0, -2, 3]])
    np.testing.assert_allclose(forest.shap(X, weight="cover")[:, 0], [[0, 4, 5], [0, -4, 5]])


def test_nothing_is_known_of_empty_nodes(rng):
    forest = random_forest(rng)
    empty = replace(forest, count=forest.count * 0, cover=forest.cover * 0)
    X = random_rows(rng, empty, 5)
    np.testing.assert_allclose(empty.shap(X).sum(2), empty.predict(X), atol=1e-9)


def test_splits_that_send_no_training_row_one_way(rng):
    forest = random_forest(rng, leaves=20)
    count = np.array(forest.count)
    count[rng.random(len(count)) < 0.4] = 0
    forest = replace(forest, count=count)
    X = random_rows(rng, forest, 50)
    values = forest.shap(X)
    assert np.isfinite(values).all()
    np.testing.assert_allclose(values.sum(2), forest.predict(X), atol=1e-8)


def test_same_bits_at_any_thread_count(rng, threads):
    forest = random_forest(rng, n_outputs=2, leaves=40)
    X = random_rows(rng, forest, 100)
    results = []
    for n in (1, 2, 4):
        threads(n)
        results.append(forest.shap(X))
        np.testing.assert_array_equal(forest.shap(X[:1]), results[0][:1])
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def test_sparse_rows(rng):
    forest = random_forest(rng)
    X = random_rows(rng, forest, 30)
    X[rng.random(X.shape) < 0.5] = 0
    for absent in (0.0, np.nan):
        dense = np.where(X == 0, absent, X)
        stored = sparse.csr_array(X)
        np.testing.assert_array_equal(forest.shap(stored, absent=absent), forest.shap(dense))


def test_large_features_are_kept_apart(rng, isa):
    forest = random_forest(rng, n_features=5000, trees=3, leaves=15)
    X = random_rows(rng, forest, 2, np.float32)
    values = forest.shap(X)
    used = np.unique(forest.feature[forest.feature >= 0])
    assert not np.delete(values, [*used, 5000], axis=2).any()
    np.testing.assert_allclose(values.sum(2), forest.predict(X), atol=1e-9)


def chain(depth):
    """A tree that is one long path."""
    n = 2 * depth + 1
    inner = np.arange(n) % 2 == 0
    inner[-1] = False
    node = np.arange(n)
    return Tree(
        feature=np.where(inner, node // 2 % 3, -1),
        threshold=np.zeros(n),
        left=np.where(inner, node + 1, -1),
        right=np.where(inner, node + 2, -1),
        default_left=np.zeros(n, bool),
        value=np.ones(n),
        gain=np.zeros(n),
        cover=np.ones(n),
        count=np.ones(n, int),
    )


def test_what_is_refused(rng):
    forest = random_forest(rng)
    with pytest.raises(ValueError, match="weight: expected"):
        forest.shap(np.zeros((1, 5)), weight="gain")
    with pytest.raises(ValueError, match="X: expected 5 features"):
        forest.shap(np.zeros((1, 4)))
    deep = Forest.concat([chain(1000)], n_features=3)
    np.testing.assert_allclose(deep.shap(np.ones((1, 3))).sum(), 1.0)
    with pytest.raises(ValueError, match="too deep"):
        Forest.concat([chain(3000)], n_features=3).shap(np.ones((1, 3)))
    wide = Forest.concat([Tree.leaf(1.0)], n_features=2**30)
    rows = sparse.csr_array((2, 2**30))
    with pytest.raises(ValueError, match="too many"):
        wide.shap(rows, interactions=True)
