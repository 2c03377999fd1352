"""Averaged trees: means, draws, and the same bits however they are grown."""

import numpy as np
import pytest

from pyllm import _cpu
from pyllm.trees import Dataset
from pyllm.trees.averaged import grow_averaged
from pyllm.trees.tree_parameters import TreeParameters

N = 3000
PARAMETERS = TreeParameters(
    growth="depthwise", max_leaves=None, reg_lambda=0.0, colsample_bynode=0.5
)


def data(outputs=1):
    rng = np.random.default_rng(outputs)
    X = rng.normal(size=(N, 6))
    y = X[:, 0] * X[:, 1] + rng.normal(size=N)
    columns = np.digitize(y, [-1.0, 1.0])[:, np.newaxis] == np.arange(outputs)
    return Dataset(X), columns * 1.0 if outputs > 1 else y[:, np.newaxis]


def bootstrap(weight=None, size=N):
    weight = np.ones(N) if weight is None else weight
    even = bool((weight == 1).all())
    return _cpu.TreeBootstrap(np.arange(N), np.cumsum(weight), even, size)


@pytest.mark.parametrize("outputs", [1, 3])
def test_every_node_holds_the_mean_of_its_rows(outputs):
    dataset, columns = data(outputs)
    grown = grow_averaged(
        dataset, columns, PARAMETERS, [5, 6], bootstrap=bootstrap(), keep_rows=True
    )
    for t, tree in enumerate(grown.forest.trees()):
        weight, leaf = grown.drawn[t], grown.leaf_of_row[t]
        np.testing.assert_array_equal(weight, bootstrap().draw([5, 6][t]))
        assert weight.sum() == N
        for k in range(outputs):
            sums = np.bincount(leaf, weight * columns[:, k], tree.n_nodes)
            total = np.bincount(leaf, weight, tree.n_nodes)
            for node in range(tree.n_nodes - 1, -1, -1):
                if tree.feature[node] >= 0:
                    children = [tree.left[node], tree.right[node]]
                    sums[node], total[node] = sums[children].sum(), total[children].sum()
            np.testing.assert_allclose(tree.value[:, k], sums / total, rtol=1e-12, atol=1e-15)
            np.testing.assert_allclose(tree.cover, total * outputs)
        assert tree.count[0] == np.count_nonzero(weight)


@pytest.mark.parametrize("extra_random", [False, True])
def test_bits_are_the_same_for_any_threads_and_any_split_of_the_trees(extra_random, threads):
    dataset, columns = data()
    parameters = TreeParameters(
        growth="depthwise",
        max_leaves=None,
        reg_lambda=0.0,
        colsample_bynode=0.4,
        extra_random=extra_random,
    )
    seeds = list(range(7))
    before, first = _cpu.isa(), None
    for isa in _cpu.available_isas():
        _cpu.set_isa(isa)
        for count in (1, 2, 4):
            threads(count)
            for step in (1, 3, 7):
                trees = [
                    tree
                    for at in range(0, 7, step)
                    for tree in grow_averaged(
                        dataset, columns, parameters, seeds[at : at + step], bootstrap=bootstrap()
                    ).forest.trees()
                ]
                forest = grow_averaged(dataset, columns, parameters, [0]).forest.with_trees(trees)
                first = first or forest
                assert forest == first
    _cpu.set_isa(before)
    assert len({tree.n_nodes for tree in first.trees()}) > 1


def test_draws_go_by_weight():
    weight = np.where(np.arange(N) < N // 2, 3.0, 1.0)
    counts = sum(bootstrap(weight, 4000).draw(seed) for seed in range(50))
    assert counts.sum() == 50 * 4000
    assert abs(counts[: N // 2].sum() / counts.sum() - 0.75) < 0.01
    drawn = bootstrap().draw(3)
    assert abs(np.mean(drawn == 0) - np.exp(-1)) < 0.03
    np.testing.assert_array_equal(drawn, bootstrap().draw(3))
    assert (drawn != bootstrap().draw(4)).any()


def test_progress_is_told_from_the_calling_thread(threads):
    dataset, columns = data()
    for count in (1, 2):
        threads(count)
        told = []
        grow_averaged(dataset, columns, PARAMETERS, range(9), progress=told.append)
        assert told == sorted(set(told))
        assert told[-1] == 9

    def fails(done):
        raise RuntimeError(f"told {done}")

    threads(1)
    with pytest.raises(RuntimeError, match="told 1"):
        grow_averaged(dataset, columns, PARAMETERS, range(9), progress=fails)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"columns": np.zeros((N - 1, 1))}, "columns: expected a row for each of 3000 rows"),
        ({"columns": np.zeros((N, 0))}, "columns"),
        ({"weight": np.ones(N - 1)}, "weight: expected one a row"),
        ({"columns": np.full((N, 1), np.nan)}, "gradient: expected finite values"),
    ],
)
def test_what_does_not_fit(change, message):
    dataset, columns = data()
    with pytest.raises(ValueError, match=message):
        grow_averaged(
            dataset, **({"columns": columns, "parameters": PARAMETERS, "seeds": [1]} | change)
        )


@pytest.mark.parametrize(
    ("order", "edges", "size", "message"),
    [
        ([0, 2], [1.0, 2.0], 2, "order: out of range"),
        ([0, -1], [1.0, 2.0], 2, "order: out of range"),
        ([0, 1], [1.0, 0.5], 2, "edges: expected rising finite numbers"),
        ([0, 1], [1.0, np.inf], 2, "edges: expected rising finite numbers"),
        ([0, 1], [1.0, np.nan], 2, "edges: expected rising finite numbers"),
        ([0, 1], [1.0, 2.0], 0, "size: expected 1 to"),
        ([], [], 1, "order: expected at least one row"),
    ],
)
def test_bootstraps_that_make_no_sense(order, edges, size, message):
    with pytest.raises(ValueError, match=message):
        _cpu.TreeBootstrap(np.array(order, np.int64), np.array(edges, np.float64), False, size)
