"""Exclusive bundling: which features share a column, and trees that are bitwise the same."""

import dataclasses

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

import pyllm
from pyllm import _cpu
from pyllm.trees import Dataset, TreeParameters, grow_tree


def one_hot(rng, n, sizes, *, kind="ones"):
    """One-hot columns of some variables, an odd entry missing where there is one."""
    blocks = []
    for size in sizes:
        block = np.zeros((n, size), np.float32)
        values = {
            "ones": lambda: np.ones(n),
            "counts": lambda: rng.integers(1, 6, n),
            "signed": lambda: rng.normal(size=n).round(1),
            "reals": lambda: rng.normal(size=n),
        }[kind]()
        block[np.arange(n), rng.integers(0, size, n)] = values
        blocks.append(block)
    return np.concatenate(blocks, axis=1)


def forms(X):
    """The same matrix in every form a data set takes."""
    third = max(len(X) // 3, 1)
    yield X
    yield np.asfortranarray(X, np.float64)
    yield sp.csr_array(X)
    yield sp.csc_matrix(X.astype(np.float64))
    yield [X[:third], X[third:]]


def assert_same(a, b):
    for field in dataclasses.fields(a.tree):
        np.testing.assert_array_equal(getattr(a.tree, field.name), getattr(b.tree, field.name))
    np.testing.assert_array_equal(a.leaf_of_row, b.leaf_of_row)


SETTINGS = [
    TreeParameters(max_leaves=40),
    TreeParameters(growth="depthwise", max_depth=7, max_leaves=None, min_child_samples=15),
    TreeParameters(max_leaves=None, reg_alpha=0.5, max_delta_step=0.7),
    TreeParameters(max_leaves=None),
    TreeParameters(max_leaves=None, colsample_bynode=0.3, min_child_samples=3),
    TreeParameters(max_leaves=None, extra_random=True, min_child_samples=2),
    TreeParameters(max_leaves=60, colsample_bytree=0.7, colsample_bylevel=0.8),
    TreeParameters(max_leaves=60, colsample_bynode=0.3),
    TreeParameters(max_leaves=60, quantized=True, min_child_samples=4),
    TreeParameters(max_leaves=60, extra_random=True),
    TreeParameters(max_leaves=60, max_onehot=2, cat_smooth=1.0, cat_l2=0.1),
]


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    n=st.sampled_from([3, 40, 300, 1500]),
    sizes=st.lists(st.integers(2, 30), min_size=1, max_size=4),
    kind=st.sampled_from(["ones", "counts", "signed", "reals"]),
    density=st.sampled_from([0.0, 0.003, 0.1]),
    missing=st.sampled_from([0.0, 0.001, 0.05]),
    parameters=st.sampled_from(SETTINGS),
    constrained=st.booleans(),
    categorical=st.booleans(),
    outputs=st.sampled_from([1, 3]),
    max_bin=st.sampled_from([4, 255, 1000]),
    threads=st.sampled_from([1, 2, 4]),
    part=st.booleans(),
)
def test_trees_are_those_of_unbundled_features(
    seed, n, sizes, kind, density, missing, parameters, constrained, categorical, outputs, max_bin,
    threads, part,
):  # fmt: skip
    rng = np.random.default_rng(seed)
    scattered = np.where(rng.random((n, 6)) < density, rng.integers(1, 4, (n, 6)), 0)
    X = np.concatenate([one_hot(rng, n, sizes, kind=kind), rng.normal(size=(n, 2)), scattered], 1)
    X = X.astype(np.float32)[:, rng.permutation(X.shape[1])]
    X[rng.random(X.shape) < missing] = np.nan
    features = X.shape[1]
    whole = np.flatnonzero([np.all(np.isnan(x) | ((x >= 0) & (x == np.round(x)))) for x in X.T])
    categories = whole[::2].tolist() if categorical else []
    if constrained:
        monotone = rng.integers(-1, 2, features)
        monotone[categories] = 0
        sets = [rng.choice(features, features // 2, replace=False) for _ in range(3)]
        parameters = dataclasses.replace(parameters, monotone=monotone.tolist(), interaction=sets)
    g, h = rng.normal(size=(n, outputs)), rng.random((n, outputs)) + 0.1
    rows = np.sort(rng.choice(n, max(n // 2, 1), replace=False)) if part else None
    how = {"max_bin": max_bin, "categorical": categories}
    before = pyllm.get_num_threads()
    plain = Dataset(X, enable_bundle=False, **how)
    assert plain.bundles == []
    expected = grow_tree(plain, g, h, parameters, seed=seed, rows=rows)
    try:
        pyllm.set_num_threads(threads)
        for form in forms(X):
            dataset = Dataset(form, **how)
            np.testing.assert_array_equal(dataset.missing, plain.missing)
            assert_same(grow_tree(dataset, g, h, parameters, seed=seed, rows=rows), expected)
    finally:
        pyllm.set_num_threads(before)


def codes(dataset, X):
    """How many features differ from their most frequent value in a row, by bundle."""
    usual = np.array([np.unique(x, return_counts=True) for x in X.T], dtype=object)
    modes = np.array([values[counts.argmax()] for values, counts in usual])
    return [(X[:, bundle] != modes[bundle]).sum(1) for bundle in dataset.bundles]


def test_features_of_a_bundle_have_no_row_in_common():
    rng = np.random.default_rng(0)
    X = np.concatenate([one_hot(rng, 4000, [30, 7]), rng.random((4000, 40)) < 0.001], 1)
    X[:, 3] = 1 - X[:, 3]  # nearly always 1
    dataset = Dataset(X)
    assert sorted(f for bundle in dataset.bundles for f in bundle) == list(range(77))
    assert len(dataset.bundles) <= 5
    assert all(differ.max() == 1 for differ in codes(dataset, X))


def test_one_hot_columns_of_a_variable_share_one_column():
    X = one_hot(np.random.default_rng(0), 20_000, [250])
    assert Dataset(X).bundles == [list(range(250))]
    assert [len(b) for b in Dataset(np.concatenate([X, X], 1)).bundles] == [250, 250]


def test_a_bundle_holds_as_many_codes_as_a_byte_does():
    X = one_hot(np.random.default_rng(0), 30_000, [600])
    assert sorted(len(b) for b in Dataset(sp.csr_array(X)).bundles) == [90, 255, 255]
    counts = X * (1 + np.arange(len(X)) % 100)[:, np.newaxis]
    bundles = Dataset(counts).bundles
    assert all(sum(len(np.unique(counts[:, f])) - 1 for f in b) <= 255 for b in bundles)


def test_dense_and_overlapping_features_have_columns_alone():
    rng = np.random.default_rng(0)
    assert Dataset(rng.normal(size=(500, 5))).bundles == []
    assert Dataset(rng.random((500, 8)) < 0.2).bundles == []
    assert Dataset(one_hot(rng, 500, [4])[:, [1]]).bundles == []


def test_features_of_many_bins_share_a_column_of_two_bytes():
    rng = np.random.default_rng(0)
    X = one_hot(rng, 20_000, [40], kind="reals")
    dataset = Dataset(X)
    assert sorted(len(bundle) for bundle in dataset.bundles) == [8, 16, 16]  # 4095 codes, 255 each
    many = Dataset(X[:, :10], max_bin=600)
    assert sorted(len(bundle) for bundle in many.bundles) == [2, 8]
    g = rng.normal(size=20_000) + X[:, 7]
    for bundled, how in ((dataset, {}), (many, {"max_bin": 600})):
        plain = Dataset(X[:, : bundled.n_features], enable_bundle=False, **how)
        for parameters in SETTINGS:
            trees = [grow_tree(d, g, np.ones(20_000), parameters, seed=2) for d in (bundled, plain)]
            assert_same(*trees)


def test_rare_features_are_exclusive_on_all_rows_not_on_a_sample():
    # 2^19 rows: cuts come from a sample, which misses most of these entries.
    rng = np.random.default_rng(3)
    n = 1 << 19
    rows, columns = rng.integers(0, n, 3000), rng.integers(0, 300, 3000)
    X = sp.csc_array((np.ones(3000, np.float32), (rows, columns)), shape=(n, 300))
    X.data[:] = 1
    dataset = Dataset(X)
    assert 2 <= len(dataset.bundles) <= 4
    csc = X.tocsc()
    for bundle in dataset.bundles:
        together = csc[:, bundle].tocoo().coords[0]
        assert len(np.unique(together)) == len(together)


def test_missing_values_have_a_code_of_their_own():
    rng = np.random.default_rng(0)
    X = one_hot(rng, 3000, [20])
    X[5, 3], X[5, X[5] == 1] = np.nan, 0
    X[:, 7] = np.nan  # always missing: nothing to split on
    g = np.where(np.isnan(X[:, 3]), -5.0, 0.01 * X[:, 2])
    parameters = TreeParameters(max_leaves=3, min_child_weight=0, reg_lambda=0)
    bundled = grow_tree(Dataset(X), g, np.ones(3000), parameters)
    assert len(Dataset(X).bundles) == 1
    assert_same(bundled, grow_tree(Dataset(X, enable_bundle=False), g, np.ones(3000), parameters))
    assert bundled.tree.feature[0] == 3
    assert np.sum(bundled.leaf_of_row == bundled.leaf_of_row[5]) == 1


def test_reference_and_its_missing_values():
    rng = np.random.default_rng(0)
    train = one_hot(rng, 2000, [12], kind="counts")
    train[3, 5] = np.nan
    valid = one_hot(rng, 500, [12], kind="counts") * 1.5
    g = rng.normal(size=500)
    for reference in (Dataset(train), Dataset(sp.csr_array(train), enable_bundle=False)):
        bundled = Dataset(valid, reference=reference)
        plain = Dataset(valid, reference=reference, enable_bundle=False)
        assert bundled.bundles
        assert bundled.missing.tolist() == plain.missing.tolist() == reference.missing.tolist()
        assert_same(*(grow_tree(d, g, np.ones(500), SETTINGS[0]) for d in (bundled, plain)))


def test_blocks_are_read_once_more_for_sparse_features():
    rng = np.random.default_rng(0)
    X, dense = one_hot(rng, 900, [12]), rng.normal(size=(900, 2)).astype(np.float32)
    reads = []

    def blocks_of(data):
        def blocks():
            reads.append(1)
            return np.split(data, 3)

        return blocks

    for data, times in ((X, 2), (dense, 2), (np.concatenate([X, dense], 1), 3)):
        reads.clear()
        Dataset(blocks_of(data))
        assert len(reads) == times


def test_ten_thousand_features_are_never_made_dense():
    rng = np.random.default_rng(0)
    n, features = 3000, 20_000
    rows = np.repeat(np.arange(n), 10)
    columns = (rng.random(10 * n) ** 3 * features).astype(np.int64)
    X = sp.csr_array((np.ones(10 * n), (rows, columns)), shape=(n, features))
    X.sum_duplicates()
    dataset = Dataset(X)
    stored = features - sum(len(b) for b in dataset.bundles) + len(dataset.bundles)
    assert stored < 500
    g = rng.normal(size=n) + X[:, [0]].toarray()[:, 0]
    plain = Dataset(X, enable_bundle=False)
    assert_same(*(grow_tree(d, g, np.ones(n), SETTINGS[0]) for d in (dataset, plain)))


def test_the_same_bits_on_every_instruction_set_and_thread_count(isa):
    rng = np.random.default_rng(7)
    X = np.concatenate([one_hot(rng, 4000, [40, 9], kind="counts"), rng.normal(size=(4000, 2))], 1)
    g = rng.normal(size=4000) + X[:, 3] - X[:, 45]
    _cpu.set_isa("baseline")
    plain = Dataset(X, enable_bundle=False)
    expected = [grow_tree(plain, g, np.ones(4000), p, seed=1) for p in SETTINGS]
    _cpu.set_isa(isa)
    before = pyllm.get_num_threads()
    try:
        for threads in (1, 2, 4):
            pyllm.set_num_threads(threads)
            dataset = Dataset(sp.csr_array(X))
            assert [len(b) for b in dataset.bundles] == [40, 9]
            for parameters, tree in zip(SETTINGS, expected, strict=True):
                assert_same(grow_tree(dataset, g, np.ones(4000), parameters, seed=1), tree)
    finally:
        pyllm.set_num_threads(before)


def given_up(lists):
    """With three rows to list where two were worth it."""
    lists.add_rows(np.ones((3, 2)), 0, [0, 1], [0, 1], 2)
    lists.add_rows(np.ones((3, 2)), 3, [0, 1], [0, 1], 2)  # goes on with what is left
    assert lists.counts == [-1, -1]
    return lists


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda lists: lists.add_rows(np.zeros((3, 2)), 0, [0, 2], [0, 1], 9), "columns: out of"),
        (lambda lists: lists.add_rows(np.zeros((3, 2)), 8, [0, 1], [0, 1], 9), "first: out of"),
        (lambda lists: lists.add_rows(np.zeros((3, 2)), 0, [0, 1], [0, 5], 9), "features: out of"),
        (lambda lists: lists.bundles([0, 1], [1, 256], 255), "codes: out of range"),
        (lambda lists: given_up(lists).bundles([0, 1], [1, 1], 255), "features: one was given up"),
    ],
)
def test_refuses(call, message):
    lists = _cpu.TreeSparseCodes(10, [[0.5], [0.5]], [0, 0])
    with pytest.raises(ValueError, match=message):
        call(lists)


@pytest.mark.parametrize("rows", [[2, 1], [1, 1], [0, 10], [-1, 2]])
def test_refuses_columns_whose_rows_do_not_rise(rows):
    lists = _cpu.TreeSparseCodes(10, [[0.5]], [0])
    with pytest.raises(ValueError, match="indices: expected rising"):
        lists.add_columns(np.ones(2), np.array(rows), np.array([0, 2]), [0], [0])
