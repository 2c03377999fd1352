"""Data sets from sparse matrices: by rows, by columns and dense, the same bins to the bit."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

import pyllm
from pyllm import _cpu
from pyllm.trees import Dataset, TreeParameters, grow_tree
from pyllm.trees.sampled_rows import SAMPLE

from .test_bundles import assert_same, one_hot


def drawn(rng, n, dtype):
    """Few rows with an entry, one in most rows, one-hot columns, and rows without any."""
    X = np.concatenate(
        [
            one_hot(rng, n, [5, 9]),
            one_hot(rng, n, [4], kind="signed"),
            np.where(rng.random((n, 5)) < [0.9, 0.5, 0.1, 0.01, 0], rng.normal(size=(n, 5)), 0),
            rng.integers(0, 3, (n, 2)),
        ],
        axis=1,
    )
    X[rng.random(n) < 0.1] = 0
    if np.dtype(dtype).kind == "f":
        X[rng.random(X.shape) < 0.01] = np.nan
        X[rng.random(X.shape) < 0.003] = np.inf
    elif dtype == np.bool_:
        X = X > 0
    return X.astype(dtype)[:, rng.permutation(X.shape[1])]


def unsorted(csr):
    """With the entries of each row in reverse."""
    csr = csr.copy()
    for begin, end in zip(csr.indptr, csr.indptr[1:], strict=False):
        for array in (csr.data, csr.indices):
            array[begin:end] = array[begin:end][::-1].copy()
    csr.has_sorted_indices = False
    return csr


def duplicated(csr):
    """With each entry stored twice, of which one is zero."""
    rows = np.repeat(np.arange(csr.shape[0]), np.diff(csr.indptr))
    entries = np.concatenate([csr.data, np.zeros_like(csr.data)])
    order = np.argsort(np.concatenate([rows, rows]), kind="stable")
    indices = np.concatenate([csr.indices, csr.indices])
    return sp.csr_matrix((entries[order], indices[order], csr.indptr * 2), csr.shape)


def with_zeros(csr, rng):
    """With zeros among the entries."""
    rows, columns = np.nonzero((csr.toarray() == 0) & (rng.random(csr.shape) < 0.2))
    coo = csr.tocoo()
    data = np.concatenate([coo.data, np.zeros(len(rows), csr.dtype)])
    places = (np.concatenate([coo.row, rows]), np.concatenate([coo.col, columns]))
    return sp.csr_matrix((data, places), csr.shape)


def long_indices(csr):
    csr = csr.copy()
    csr.indices, csr.indptr = csr.indices.astype(np.int64), csr.indptr.astype(np.int64)
    return csr


def spare_room(csr):
    """With room behind the entries that are used."""
    room = csr.copy()
    room.data = np.concatenate([csr.data, np.ones(7, csr.dtype)])
    room.indices = np.concatenate([csr.indices, np.full(7, 99, csr.indices.dtype)])
    return room


def assert_same_bins(a, b):
    for mine, theirs in zip(a.cuts, b.cuts, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    np.testing.assert_array_equal(a.missing, b.missing)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    n=st.sampled_from([1, 2, 60, 257, 1500]),
    dtype=st.sampled_from([np.float32, np.float64, np.int64, np.int8, np.bool_]),
    max_bin=st.sampled_from([2, 4, 255, 1000]),
    weighted=st.booleans(),
    enable_bundle=st.booleans(),
    threads=st.sampled_from([1, 2, 4]),
)
def test_rows_columns_and_dense_give_the_same(
    seed, n, dtype, max_bin, weighted, enable_bundle, threads
):
    rng = np.random.default_rng(seed)
    X = drawn(rng, n, dtype)
    csr = sp.csr_matrix(X)
    how = {
        "max_bin": max_bin,
        "weight": rng.integers(0, 4, n) if weighted else None,
        "enable_bundle": enable_bundle,
    }
    g, h = rng.normal(size=n), rng.random(n) + 0.1
    dense = Dataset(X, **how)
    columns = Dataset(csr.tocsc(), **how)
    assert_same_bins(columns, dense)
    expected = grow_tree(dense, g, h, TreeParameters(max_leaves=30), seed=1)
    forms = [sp.csr_array(X), unsorted(csr), with_zeros(csr, rng), long_indices(csr)]
    forms += [spare_room(csr)]
    if dtype != np.bool_:
        forms.append(duplicated(csr))
    before = pyllm.get_num_threads()
    try:
        pyllm.set_num_threads(threads)
        for form in forms:
            rows = Dataset(form, **how)
            assert_same_bins(rows, dense)
            assert rows.bundles == columns.bundles
            assert_same(grow_tree(rows, g, h, TreeParameters(max_leaves=30), seed=1), expected)
            again = Dataset(form, reference=dense, enable_bundle=enable_bundle)
            assert_same(grow_tree(again, g, h, TreeParameters(max_leaves=30), seed=1), expected)
    finally:
        pyllm.set_num_threads(before)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("index", [np.int32, np.int64])
@pytest.mark.parametrize("threads", [1, 3])
def test_codes_of_all_columns_are_those_from_columns(dtype, index, threads, isa):
    rng = np.random.default_rng(5)
    n = 40_000  # several ranges of rows, the last block of them not full
    X = np.concatenate([one_hot(rng, n, [6, 3]), one_hot(rng, n, [4], kind="reals")], axis=1)
    X[rng.random(X.shape) < 0.01] = np.nan
    X = X[: n - 100].astype(dtype)
    csr = sp.csr_matrix(X)
    cuts = [[0.5]] * 9 + [[-1.0, -0.25, 0.125, 0.3, 2.0]] * 3 + [sorted(rng.normal(size=300))]
    usual = [int(np.searchsorted(c, 0.0)) for c in cuts]
    bundled = [1, 2, 4, 5]
    wide = [(True, 0, [12], []), (True, 1, [9, 10], [1, 7])]
    narrow = [(False, i, [f], []) for i, f in enumerate([0, 3, 6, 7, 8, 11])]
    plan = [*wide, *narrow, (False, 6, bundled, [1, 3, 5, 7])]

    def stored(lists):
        shapes = [((n - 100, 8), np.uint8), ((7, n - 100), np.uint8)]
        shapes += [((n - 100, 2), np.uint16), ((2, n - 100), np.uint16)]
        arrays = [np.full(shape, 99, kind) for shape, kind in shapes]
        lists.store(plan, _cpu.TreeCodes(*arrays))
        return [arrays[0][:, :7], *arrays[1:]]

    csc = csr.tocsc()
    columns = _cpu.TreeSparseCodes(n - 100, cuts, usual)
    indptr, order = csc.indptr.astype(np.int64), list(range(13))
    columns.add_columns(csc.data, csc.indices, indptr, order, order)
    before = pyllm.get_num_threads()
    _cpu.set_isa(isa)
    try:
        pyllm.set_num_threads(threads)
        matrix = _cpu.TreeRows(csr.data, csr.indices.astype(index), csr.indptr.astype(np.int64), 13)
        rows = _cpu.TreeRowCodes(matrix, cuts, usual)
    finally:
        pyllm.set_num_threads(before)
    assert matrix.stored == np.diff(indptr).tolist()
    assert rows.counts == columns.counts
    assert rows.missing == columns.missing
    few = [f for f in order if len(cuts[f]) == 1]
    found = [lists.bundles(few, [2] * len(few), 255) for lists in (rows, columns)]
    assert found[0] == found[1]
    for mine, theirs in zip(stored(rows), stored(columns), strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("weighted", [False, True])
def test_cuts_of_large_matrices_come_from_the_same_sample(weighted):
    rng = np.random.default_rng(0)
    n = SAMPLE + 90_000
    X = np.where(rng.random((n, 3)) < [0.02, 0.3, 1], rng.normal(size=(n, 3)), 0)
    weight = rng.integers(0, 3, n) if weighted else None
    dense = Dataset(X.astype(np.float32), max_bin=63, weight=weight)
    for form in (sp.csr_array(X, dtype=np.float32), sp.csc_array(X, dtype=np.float32)):
        assert_same_bins(Dataset(form, max_bin=63, weight=weight), dense)


def test_categories_are_read_from_rows_too():
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.integers(0, 5, (400, 2)), one_hot(rng, 400, [6])], axis=1)
    g = rng.normal(size=400) + X[:, 0]
    how = {"categorical": [0, 1]}
    dense, rows = Dataset(X, **how), Dataset(sp.csr_array(X), **how)
    again = Dataset(sp.csr_array(X), reference=dense)
    trees = [grow_tree(d, g, np.ones(400), TreeParameters()) for d in (dense, rows, again)]
    assert_same(trees[1], trees[0])
    assert_same(trees[2], trees[0])


@pytest.mark.parametrize("form", [sp.csr_array, sp.csc_array])
@pytest.mark.parametrize("shape", [(0, 3), (4, 0), (0, 0), (5, 2)])
def test_nothing_stored(form, shape):
    dataset = Dataset(form(shape, dtype=np.float32))
    assert dataset.shape == shape
    assert [c.tolist() for c in dataset.cuts] == [[]] * shape[1]
    assert not dataset.missing.any()


@pytest.mark.parametrize(
    ("indices", "offset", "message"),
    [
        ([1, 0], [0, 2], "indices: expected rising features below 3 in each row"),
        ([1, 1], [0, 2], "indices: expected rising"),
        ([0, 3], [0, 2], "indices: expected rising"),
        ([-1, 2], [0, 2], "indices: expected rising"),
        ([0, 1], [0, 3], "offset: out of range"),
        ([0, 1], [1, 0, 2], "offset: out of range"),
        ([0, 1], [-1, 2], "offset: out of range"),
        ([0, 1], [], "offset: expected"),
    ],
)
def test_refuses_rows_that_are_none(indices, offset, message):
    with pytest.raises(ValueError, match=message):
        _cpu.TreeRows(np.ones(2), np.array(indices), np.array(offset, np.int64), 3)


def row_codes(cuts=([0.5], [0.5]), usual=(0, 0)):
    """Of two rows that have an entry each."""
    rows = _cpu.TreeRows(np.ones(2), np.array([0, 1]), np.array([0, 1, 2]), 2)
    return _cpu.TreeRowCodes(rows, list(cuts), list(usual))


def narrow_codes(columns):
    arrays = [np.zeros((2, columns), np.uint8), np.zeros((columns, 2), np.uint8)]
    return _cpu.TreeCodes(*arrays, np.zeros((2, 0), np.uint16), np.zeros((0, 2), np.uint16))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: row_codes(cuts=[[0.5]], usual=[0]), "cuts: expected one entry a feature"),
        (lambda: row_codes(usual=[0, 2]), "usual: expected a bin"),
        (lambda: row_codes().bundles([0, 2], [1, 1], 255), "features: out of range"),
        (lambda: row_codes().bundles([0, 1], [1, 256], 255), "codes: out of range"),
        (lambda: row_codes().store([(False, 0, [0], [])], narrow_codes(2)), "plan: expected all"),
        (lambda: row_codes().store([(False, 2, [0], [])], narrow_codes(2)), "plan: column out"),
    ],
)
def test_refuses(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_sample_has_as_many_rows_as_the_matrix():
    rows = _cpu.TreeRows(np.ones(2), np.array([0, 1]), np.array([0, 1, 2]), 2)
    for times, weight, n in ((np.ones(3, np.uint8), None, 3), (None, None, 3), (None, [1.0], 2)):
        weight = None if weight is None else np.array(weight)
        with pytest.raises(ValueError, match=r"rows: expected those|weight: expected one a row"):
            rows.cuts(times, weight, n, 2.0, 255)
