"""Bins: where features are cut, what a value's code is, what is refused."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from pyllm.trees import Dataset, TreeParameters, grow_tree
from pyllm.trees.cuts import find_cuts
from pyllm.trees.sampled_rows import SAMPLE
from tests.reference.trees import codes_of


@settings(max_examples=100, deadline=None)
@given(
    values=st.lists(st.floats(width=32), max_size=80),
    max_bin=st.integers(2, 20),
    repeat=st.integers(1, 4),
)
def test_cuts_separate_neighbouring_values(values, max_bin, repeat):
    values = np.repeat(np.array(values, np.float32), repeat)
    cuts = find_cuts(values, max_bin)
    distinct = np.unique(values[~np.isnan(values)]).astype(np.float64)
    assert np.all(np.diff(cuts) > 0)
    assert len(cuts) == min(max_bin, max(len(distinct), 1)) - 1
    below = np.searchsorted(distinct, cuts, side="right")
    assert np.all((below > 0) & (below < len(distinct)))  # each cut has values on both sides
    assert len(set(below)) == len(below)


def test_cuts_lie_midway():
    np.testing.assert_array_equal(find_cuts(np.array([4.0, 1, 2, 2, np.nan]), 255), [1.5, 3])


def test_bins_hold_about_the_same_weight():
    rng = np.random.default_rng(0)
    x = rng.normal(size=10_000)
    counts = np.bincount(np.searchsorted(find_cuts(x, 50), x))
    assert counts.min() >= 195
    assert counts.max() <= 205
    weight = rng.integers(0, 10, 10_000).astype(np.float64)
    np.testing.assert_array_equal(
        find_cuts(x, 50, weight), find_cuts(np.repeat(x, weight.astype(int)), 50)
    )


def test_a_frequent_value_gets_a_bin_of_its_own():
    x = np.concatenate([np.zeros(5000), np.random.default_rng(0).normal(size=5000)])
    cuts = find_cuts(x, 20)
    assert len(cuts) == 19
    counts = np.bincount(np.searchsorted(cuts, x))
    assert counts.max() < 5300  # zeros and few others
    assert np.sort(counts)[:-1].max() < 400


def leaves(dataset, g):
    return grow_tree(dataset, g, np.ones(len(g)), TreeParameters(max_leaves=50)).leaf_of_row


def test_layouts_of_the_same_data_give_the_same_bins():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(3000, 5)).astype(np.float32)
    X[rng.random(X.shape) < 0.6] = 0
    g = rng.normal(size=3000)
    expected = leaves(Dataset(X), g)
    strided = np.zeros((6000, 10), np.float32)
    strided[::2, ::2] = X
    for same in (
        X.astype(np.float64),
        np.asfortranarray(X),
        strided[::2, ::2],
        X[::-1][::-1],
        sp.csr_array(X),
        sp.csc_array(X),
        sp.csr_matrix(X.astype(np.float64)),
    ):
        np.testing.assert_array_equal(leaves(Dataset(same), g), expected)


def test_weights_and_sparse_zeros():
    rng = np.random.default_rng(1)
    X = sp.random_array((500, 4), density=0.3, rng=rng, format="csr")
    weight = rng.integers(0, 4, 500)
    dense = Dataset(X.toarray(), weight=weight, max_bin=12)
    sparse = Dataset(X, weight=weight, max_bin=12)
    for a, b in zip(dense.cuts, sparse.cuts, strict=True):
        np.testing.assert_array_equal(a, b)


def test_large_data_are_cut_by_a_sample_that_is_always_the_same():
    x = np.random.default_rng(0).normal(size=(SAMPLE + 1000, 1)).astype(np.float32)
    first, second = Dataset(x, max_bin=64), Dataset(x.copy(), max_bin=64)
    np.testing.assert_array_equal(first.cuts[0], second.cuts[0])
    shares = np.bincount(codes_of(x, first.cuts)[:, 0]) / len(x)
    assert np.abs(shares * 64 - 1).max() < 0.1


def test_infinities_are_values():
    X = np.array([[-np.inf], [-1], [0], [np.inf], [np.nan]])
    dataset = Dataset(X)
    assert dataset.missing.tolist() == [True]
    assert np.isin(dataset.cuts[0], [-np.inf, -0.5, 0.0]).all()
    assert len(set(leaves(dataset, np.array([5.0, 1, -1, -5, 20])).tolist())) == 5


def test_reference_shares_its_cuts():
    rng = np.random.default_rng(0)
    train, valid = rng.normal(size=(500, 3)), rng.normal(size=(100, 3)) * 2
    valid[3, 1] = np.nan
    dataset = Dataset(valid, reference=Dataset(train, max_bin=9))
    assert [len(c) for c in dataset.cuts] == [8, 8, 8]
    assert dataset.missing.tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("X", "change", "message"),
    [
        (np.zeros(5), {}, "X: expected shape"),
        ([["a", "b"]], {}, "X: expected numbers"),
        (np.zeros((3, 2)), {"max_bin": 1}, "max_bin: expected"),
        (np.zeros((3, 2)), {"max_bin": 65536}, "max_bin: expected"),
        (np.zeros((3, 2)), {"weight": np.ones(2)}, "weight: expected shape"),
        (np.zeros((3, 2)), {"weight": [1, -1, 1]}, "weight: expected finite"),
        (np.zeros((3, 2)), {"feature_names": ["a"]}, "feature_names: expected 2"),
        (np.zeros((3, 2)), {"reference": Dataset(np.zeros((3, 1)))}, "reference: has 1"),
    ],
)
def test_refuses(X, change, message):
    with pytest.raises(ValueError, match=message):
        Dataset(X, **change)


@pytest.mark.parametrize("shape", [(0, 3), (5, 0), (1, 1)])
def test_degenerate_shapes(shape):
    dataset = Dataset(np.ones(shape))
    assert (dataset.n_samples, dataset.n_features) == shape
    g = np.ones(shape[0])
    if shape[0] == 0:
        with pytest.raises(ValueError, match="at least one row"):
            grow_tree(dataset, g, g, TreeParameters())
    else:
        assert grow_tree(dataset, g, g, TreeParameters()).tree.n_nodes == 1
