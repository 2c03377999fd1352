"""Data larger than memory: blocks of rows, and the sketch of their quantiles."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from pyllm.trees import Dataset, TreeParameters, grow_tree
from pyllm.trees.sketch import QuantileSketch


@given(
    sizes=st.lists(st.integers(0, 400), min_size=1, max_size=12),
    size=st.sampled_from([16, 64]),
    seed=st.integers(0, 1000),
    weighted=st.booleans(),
)
def test_ranks_are_off_by_no_more_than_the_bound(sizes, size, seed, weighted):
    rng = np.random.default_rng(seed)
    sketch, blocks, weights = QuantileSketch(size), [], []
    for n in sizes:
        blocks.append(rng.normal(size=n).round(rng.integers(0, 3)))
        weights.append(rng.random(n) + 0.1 if weighted else np.ones(n))
        sketch.add(blocks[-1], weights[-1] if weighted else None)
    x, w = np.concatenate(blocks), np.concatenate(weights)
    values, summary = sketch.summary()
    assert np.all(np.diff(values) > 0)
    assert np.isin(values, x).all()
    np.testing.assert_allclose(summary.sum(), w.sum())
    reductions = 1 + np.ceil(np.log2(len(sizes)))
    for cut in np.quantile(x, np.linspace(0, 1, 9)) if len(x) else []:
        off = summary[values <= cut].sum() - w[x <= cut].sum()
        assert abs(off) <= reductions * w.sum() / (2 * size) + 1e-9


def test_few_distinct_values_are_kept_as_they_are():
    rng = np.random.default_rng(0)
    sketch, x = QuantileSketch(8), rng.integers(0, 8, 5000).astype(np.float64)
    for block in np.split(x, 10):
        sketch.add(np.append(block, np.nan))
    values, weights = sketch.summary()
    np.testing.assert_array_equal(values, np.arange(8))
    np.testing.assert_array_equal(weights, np.bincount(x.astype(int)))


def leaves(dataset, g):
    return grow_tree(dataset, g, np.ones(len(g)), TreeParameters(max_leaves=40)).leaf_of_row


@pytest.mark.parametrize("kind", ["list", "function", "object", "sparse"])
def test_blocks_are_binned_as_the_whole_is(kind):
    rng = np.random.default_rng(2)
    X = rng.normal(size=(3000, 4)).astype(np.float32)
    X[rng.random(X.shape) < 0.3] = 0
    X[:, 3] = rng.integers(0, 9, 3000)
    weight = rng.integers(1, 4, 3000)
    parts = np.split(X, [7, 7, 1000, 2500])

    class Blocks:
        def __iter__(self):
            return iter(parts)

    given = {
        "list": parts,
        "function": lambda: (part for part in parts),
        "object": Blocks(),
        "sparse": [sp.csr_array(part) for part in parts],
    }[kind]
    whole = Dataset(X, weight=weight, categorical=[3], max_bin=60)
    blocks = Dataset(given, weight=weight, categorical=[3], max_bin=60)
    for a, b in zip(whole.cuts, blocks.cuts, strict=True):
        np.testing.assert_array_equal(a, b)
    g = rng.normal(size=3000)
    np.testing.assert_array_equal(leaves(blocks, g), leaves(whole, g))


def test_refuses():
    X = np.zeros((4, 2))
    with pytest.raises(ValueError, match="blocks are read twice"):
        Dataset(iter([X]))
    with pytest.raises(ValueError, match="at least one block"):
        Dataset(lambda: [])
    with pytest.raises(ValueError, match="expected 2 features, got 3"):
        Dataset([X, np.zeros((4, 3))])
    with pytest.raises(ValueError, match="blocks of shape"):
        Dataset(lambda: [np.zeros(3)])
    with pytest.raises(ValueError, match="weight: expected"):
        Dataset([X, X], weight=np.ones(7))
    with pytest.raises(ValueError, match="weight: expected"):
        Dataset([X, X], weight=np.ones(9))


@pytest.mark.parametrize("later", [1, 3])
def test_blocks_that_change_are_noticed(later):
    calls = []

    def blocks():
        calls.append(1)
        return [np.zeros((4, 2))] * (2 if len(calls) == 1 else later)

    with pytest.raises(ValueError, match="gave 8 rows at first"):
        Dataset(blocks)
