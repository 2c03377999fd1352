"""grow_tree against a grower that tries every cut on the rows themselves."""

import dataclasses
import hashlib
import signal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyllm.trees import Dataset, Forest, TreeParameters, grow_tree
from tests.reference import trees as reference

STRUCTURE = ("feature", "threshold", "left", "right", "default_left", "count")


def data(rng, n, features, *, values=None, missing=0.0):
    """Rows and gradients that fixed point holds exactly."""
    X = rng.normal(size=(n, features))
    if values:
        X = rng.integers(0, values, (n, features)).astype(np.float64)
    X[rng.random((n, features)) < missing] = np.nan
    gradient = rng.integers(-64, 65, n) / 32
    hessian = rng.integers(1, 33, n) / 32
    return X, gradient.astype(np.float32), hessian.astype(np.float32)


def assert_same(grown, expected):
    tree, leaf_of_row = expected
    for name in STRUCTURE:
        np.testing.assert_array_equal(getattr(grown.tree, name), getattr(tree, name), err_msg=name)
    np.testing.assert_allclose(grown.tree.value, tree.value, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(grown.tree.cover, tree.cover, rtol=1e-12)
    np.testing.assert_allclose(grown.tree.gain, tree.gain, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(grown.leaf_of_row, leaf_of_row)


def fingerprint(grown):
    digest = hashlib.sha256(grown.leaf_of_row.tobytes())
    for field in dataclasses.fields(grown.tree):
        digest.update(getattr(grown.tree, field.name).tobytes())
    return digest.hexdigest()


parameters = st.builds(
    TreeParameters,
    growth=st.sampled_from(["leafwise", "depthwise"]),
    max_depth=st.sampled_from([None, 1, 3]),
    max_leaves=st.sampled_from([None, 2, 7, 12]),
    reg_lambda=st.sampled_from([0.0, 1.0]),
    gamma=st.sampled_from([0.0, 2.0]),
    min_child_weight=st.sampled_from([0.0, 1e-3, 2.0]),
    min_child_samples=st.sampled_from([1, 1, 4]),
)


@settings(max_examples=60, deadline=None)
@given(
    p=parameters,
    n=st.integers(1, 120) | st.integers(129, 300),
    features=st.integers(1, 4),
    values=st.sampled_from([None, 2, 5]),
    missing=st.sampled_from([0.0, 0.3, 1.0]),
    max_bin=st.sampled_from([2, 8, 255]),
    seed=st.integers(0, 10**6),
)
def test_grows_the_tree_that_trying_every_cut_gives(p, n, features, values, missing, max_bin, seed):
    X, g, h = data(np.random.default_rng(seed), n, features, values=values, missing=missing)
    dataset = Dataset(X, max_bin=max_bin)
    assert_same(grow_tree(dataset, g, h, p), reference.grow(dataset, X, g, h, p))


@pytest.mark.parametrize(
    "change",
    [
        {"reg_alpha": 1.5},
        {"max_delta_step": 0.25},
        {"monotone": (1, -1, 0)},
        {"monotone": (-1, 1, 1), "reg_alpha": 0.5},
        {"monotone": (0, 0, 1), "growth": "depthwise", "max_delta_step": 0.5},
    ],
    ids=str,
)
def test_regularised_and_constrained_trees(change):
    X, g, h = data(np.random.default_rng(7), 300, 3, missing=0.1)
    p = TreeParameters(max_leaves=12, **change)
    dataset = Dataset(X, max_bin=16)
    assert_same(grow_tree(dataset, g, h, p), reference.grow(dataset, X, g, h, p))


@pytest.mark.parametrize("least", [1, 40])
@pytest.mark.parametrize("common", [0.0, 3.0, np.nan])
def test_features_that_mostly_have_one_value(common, least):
    rng = np.random.default_rng(11)
    X, g, h = data(rng, 700, 24)
    X[:, :20] = np.where(rng.random((700, 20)) < 0.85, common, X[:, :20])
    g += (X[:, 0] > 0).astype(np.float32)
    p = TreeParameters(max_leaves=20, min_child_samples=least)
    dataset = Dataset(X)
    assert_same(grow_tree(dataset, g, h, p), reference.grow(dataset, X, g, h, p))


@pytest.mark.parametrize("least", [1, 5, 40])
@pytest.mark.parametrize("hessians", ["equal", "various", "some 0"])
def test_child_sizes(least, hessians):
    X, g, h = data(np.random.default_rng(3), 600, 3, missing=0.1)
    p = TreeParameters(max_leaves=None, min_child_samples=least)
    if hessians == "equal":
        h[:] = 1
    elif hessians == "some 0":
        h[::3] = 0
    dataset = Dataset(X, max_bin=32)
    grown = grow_tree(dataset, g, h, p)
    assert_same(grown, reference.grow(dataset, X, g, h, p))
    assert grown.tree.count.min() >= least


def test_vector_leaves_maximise_the_gain_over_all_outputs():
    rng = np.random.default_rng(5)
    X, _, _ = data(rng, 150, 3, missing=0.1)
    g = (rng.integers(-64, 65, (150, 3)) / 32).astype(np.float32)
    h = (rng.integers(1, 33, (150, 3)) / 32).astype(np.float32)
    dataset, p = Dataset(X, max_bin=20), TreeParameters(max_leaves=9)
    grown = grow_tree(dataset, g, h, p)
    assert grown.tree.value.shape[1] == 3
    assert_same(grown, reference.grow(dataset, X, g, h, p))
    by_output = grow_tree(dataset, np.asfortranarray(g), np.asfortranarray(h), p)
    assert fingerprint(by_output) == fingerprint(grown)


def test_rows_that_sit_out_get_a_leaf_and_do_not_count():
    rng = np.random.default_rng(11)
    X, g, h = data(rng, 400, 3, missing=0.1)
    rows = np.flatnonzero(rng.random(400) < 0.4).astype(np.int32)
    g[np.setdiff1d(np.arange(400), rows)] = 1e30
    dataset, p = Dataset(X, max_bin=16), TreeParameters(max_leaves=10)
    grown = grow_tree(dataset, g, h, p, rows=rows)
    assert_same(grown, reference.grow(dataset, X, g, h, p, rows))
    assert grown.tree.count[0] == len(rows)


@pytest.mark.parametrize("growth", ["leafwise", "depthwise"])
def test_subtrees_that_are_grown_apart_are_numbered_as_if_they_were_not(growth):
    X, g, _ = data(np.random.default_rng(9), 9000, 3, missing=0.05)
    p = TreeParameters(growth=growth, max_leaves=None, min_child_samples=150)
    dataset, h = Dataset(X, max_bin=8), np.ones(9000, np.float32)
    grown = grow_tree(dataset, g, h, p)
    assert_same(grown, reference.grow(dataset, X, g, h, p))
    assert grown.tree.n_leaves > 20


@pytest.mark.parametrize("extra_random", [False, True])
@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize(
    "change",
    [
        {},
        {"colsample_bynode": 0.1},
        {"colsample_bynode": 0.5, "min_child_samples": 4, "growth": "depthwise"},
        {"max_depth": 6, "min_split_samples": 50},
        {"reg_lambda": 1.0, "gamma": 2.0, "min_child_weight": 3.0},
    ],
    ids=str,
)
def test_subtrees_in_cache_are_those_of_the_general_path(extra_random, outputs, change, isa):
    """Monotone signs that are all 0 ask for nothing, but only the general path knows them."""
    rng = np.random.default_rng(outputs)
    X = rng.normal(size=(6000, 12))
    X[:, 3:5] = rng.integers(0, 5, (6000, 2))
    if not extra_random:  # whose cuts beside missing values go after another bin
        X[:, 1:4][rng.random((6000, 3)) < 0.05] = np.nan
    weight = rng.integers(1, 5, 6000).astype(np.float32)
    y = np.nan_to_num(X[:, 1]) * X[:, 0] + rng.normal(size=6000)
    columns = np.digitize(y, [-0.5, 0.5])[:, np.newaxis] == np.arange(outputs)
    g = -weight[:, np.newaxis] * (columns if outputs > 1 else y[:, np.newaxis])
    h = np.repeat(weight[:, np.newaxis], outputs, axis=1)
    rows = np.flatnonzero(rng.random(6000) < 0.7).astype(np.int32)
    dataset = Dataset(X)
    settings = {"max_leaves": None, "reg_lambda": 0.0, "extra_random": extra_random} | change
    plain, general = (
        grow_tree(dataset, g, h, TreeParameters(**settings, monotone=signs), rows=rows, seed=3)
        for signs in (None, [0] * 12)
    )
    assert plain.tree.n_leaves > 10
    assert fingerprint(plain) == fingerprint(general)


def splits(tree):
    return set(tree.feature[tree.feature >= 0].tolist())


def test_column_samples():
    X, g, h = large(4000, 12)
    dataset = Dataset(X)
    used = [
        splits(grow_tree(dataset, g, h, TreeParameters(colsample_bytree=0.25), seed=s).tree)
        for s in range(40)
    ]
    assert max(map(len, used)) == 3
    assert set.union(*used) == set(range(12))

    tree = grow_tree(dataset, g, h, TreeParameters(colsample_bylevel=0.1, max_leaves=None)).tree
    depth = np.zeros(tree.n_nodes, int)
    for i in np.flatnonzero(tree.feature >= 0):
        depth[tree.left[i]] = depth[tree.right[i]] = depth[i] + 1
    for level in range(depth.max()):
        assert len(set(tree.feature[(depth == level) & (tree.feature >= 0)].tolist())) == 1
    assert len(splits(tree)) > 3

    stump = TreeParameters(colsample_bynode=0.05, max_leaves=2)
    roots = [grow_tree(dataset, g, h, stump, seed=s).tree.feature[0] for s in range(200)]
    counts = np.bincount(roots, minlength=12)
    assert counts.min() > 3  # expected 16.7 each
    assert counts.max() < 40


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_node_draws_anew_and_takes_the_best_of_what_it_drew(share):
    X, g, h = large(3000, 10)
    dataset = Dataset(X)
    all_features = grow_tree(dataset, g, h, TreeParameters(max_leaves=2)).tree
    p = TreeParameters(max_leaves=2, colsample_bynode=share)
    gains = [grow_tree(dataset, g, h, p, seed=s).tree.gain[0] for s in range(50)]
    assert max(gains) == all_features.gain[0]
    assert abs(np.mean(np.array(gains) == max(gains)) - share) < 0.2


def test_interactions_stay_within_their_sets():
    X, g, h = large(4000, 6)
    sets = [{0, 1}, {1, 2, 3}]
    p = TreeParameters(interaction=sets, max_leaves=60)
    tree = grow_tree(Dataset(X), g, h, p).tree
    paths = {0: frozenset()}
    for i in np.flatnonzero(tree.feature >= 0):
        paths[tree.left[i]] = paths[tree.right[i]] = paths[i] | {int(tree.feature[i])}
    assert any(len(path) > 1 for path in paths.values())
    assert all(
        len(path) <= 1 or any(path <= allowed for allowed in sets) for path in paths.values()
    )
    with pytest.raises(ValueError, match="interaction: expected features from 0 to 5, got 6"):
        grow_tree(Dataset(X), g, h, TreeParameters(interaction=[{0, 6}]))


def test_random_cuts_are_spread_over_the_bins_that_occur():
    X = np.repeat(np.arange(10.0), 30)[:, np.newaxis]
    g = np.repeat(np.linspace(-1, 1, 10), 30)
    p = TreeParameters(extra_random=True, max_leaves=2)
    dataset = Dataset(X)
    cuts = [grow_tree(dataset, g, np.ones(300), p, seed=s).tree.threshold[0] for s in range(400)]
    values, counts = np.unique(cuts, return_counts=True)
    np.testing.assert_array_equal(values, np.arange(9) + 0.5)
    assert counts.min() > 20  # expected 44 each
    assert counts.max() < 75


@pytest.mark.parametrize(
    "change",
    [
        {"colsample_bynode": 0.4},
        {"colsample_bynode": 0.8, "colsample_bylevel": 0.8},
        {"extra_random": True},
        {"extra_random": True, "colsample_bynode": 0.3},
        {"quantized": True},
        {"min_child_samples": 30},
    ],
    ids=str,
)
def test_random_choices_do_not_depend_on_threads_or_isa(change, threads, isa):
    X, g, h = large(9000, 8)
    dataset, p = Dataset(X), TreeParameters(max_leaves=None, max_depth=9, **change)
    prints = set()
    for n in (1, 2, 4):
        threads(n)
        prints.add(fingerprint(grow_tree(dataset, g, h, p, seed=5)))
    assert len(prints) == 1
    assert EXPECTED.setdefault(str(change), prints) == prints
    draws = "min_child_samples" not in change
    assert (fingerprint(grow_tree(dataset, g, h, p, seed=6)) in prints) != draws


def test_quantised_gradients_choose_nearly_as_well_and_leaves_are_exact():
    X, g, h = large()
    dataset = Dataset(X)
    exact = grow_tree(dataset, g, h, TreeParameters(max_leaves=31))
    rough = grow_tree(dataset, g, h, TreeParameters(max_leaves=31, quantized=True))

    def lowered(grown):
        tree = grown.tree
        leaf = tree.feature < 0
        sums = (
            np.bincount(grown.leaf_of_row, g, tree.n_nodes),
            np.bincount(grown.leaf_of_row, h, tree.n_nodes),
        )
        np.testing.assert_allclose(
            tree.value[leaf, 0], -sums[0][leaf] / (sums[1][leaf] + 1), rtol=1e-9, atol=1e-12
        )
        return np.sum(sums[0][leaf] ** 2 / (sums[1][leaf] + 1))

    assert lowered(rough) > 0.97 * lowered(exact)


@pytest.mark.parametrize("max_bin", [255, 256, 3000])
def test_bins_of_one_and_two_bytes(max_bin):
    rng = np.random.default_rng(1)
    X, g, h = data(rng, 500, 2)
    X[:, 1] = rng.integers(0, 3, 500)  # a narrow feature beside a wide one
    dataset, p = Dataset(X, max_bin=max_bin), TreeParameters(max_leaves=6)
    assert_same(grow_tree(dataset, g, h, p), reference.grow(dataset, X, g, h, p))


EXPECTED: dict = {}  # fingerprints of the first instruction set, for the others


def large(n=40_000, features=6, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, features)).astype(np.float32)
    X[rng.random(X.shape) < 0.05] = np.nan
    score = np.where(np.isnan(X[:, 0]), 0.5, np.sin(3 * X[:, 0])) + np.nan_to_num(X[:, 1] * X[:, 2])
    p = 1 / (1 + np.exp(-score))
    y = rng.random(n) < p
    return X, (p - y).astype(np.float32), (p * (1 - p)).astype(np.float32)


@pytest.mark.parametrize("growth", ["leafwise", "depthwise"])
@pytest.mark.parametrize("outliers", [False, True])
def test_trees_are_bitwise_the_same_at_any_thread_count_and_isa(growth, outliers, threads, isa):
    X, g, h = large()
    if outliers:
        g[::1000] *= 1e6
    dataset = Dataset(X)
    p = TreeParameters(growth=growth, max_leaves=63, min_child_weight=0.1)
    prints = set()
    for n in (1, 2, 4):
        threads(n)
        prints.add(fingerprint(grow_tree(dataset, g, h, p)))
    assert len(prints) == 1
    assert EXPECTED.setdefault((growth, outliers), prints) == prints  # by the other ISAs


def test_sums_stay_exact_beyond_a_block_of_packed_rows():
    X, _, _ = large()
    rng = np.random.default_rng(2)
    g = (rng.integers(-8, 9, len(X)) / 4).astype(np.float32)
    h = np.ones(len(X), np.float32)
    dataset = Dataset(X, max_bin=32)
    p = TreeParameters(max_leaves=8)
    assert_same(grow_tree(dataset, g, h, p), reference.grow(dataset, X, g, h, p))


def test_an_outlier_does_not_cost_the_others_their_precision():
    X, g, h = large()
    dataset, p = Dataset(X[:, 1:]), TreeParameters(max_leaves=16)
    g[0] = 1e9
    alone = grow_tree(dataset, g, h, p, rows=np.arange(1, len(X)))
    h[0] = 1e9  # its leaf value is about -1, like others
    both = grow_tree(dataset, g, h, p)
    assert np.isfinite(both.tree.value).all()
    assert both.tree.n_leaves == alone.tree.n_leaves == 16


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), sign=st.sampled_from([1, -1]))
def test_predictions_are_monotone_where_asked(seed, sign):
    rng = np.random.default_rng(seed)
    X, g, h = data(rng, 300, 3)
    p = TreeParameters(max_leaves=20, monotone=(sign, 0, 0))
    tree = grow_tree(Dataset(X, max_bin=32), g, h, p).tree
    forest = Forest.concat([tree], n_features=3)
    line = np.linspace(-3, 3, 50)
    for row in X[:20]:
        probe = np.tile(row, (50, 1))
        probe[:, 0] = line
        assert np.all(sign * np.diff(forest.predict(probe)[:, 0]) >= 0)


def test_prediction_from_raw_features_agrees_with_training():
    X, g, h = large()
    for x in (X, X.astype(np.float64), np.asfortranarray(X)):
        grown = grow_tree(Dataset(x), g, h, TreeParameters(max_leaves=100))
        leaves = Forest.concat([grown.tree], n_features=X.shape[1]).leaves(x)[:, 0]
        np.testing.assert_array_equal(leaves, grown.leaf_of_row)


@pytest.mark.parametrize(
    ("gradient", "hessian", "message"),
    [
        (np.zeros(9), np.ones(9), "gradient: expected shape"),
        (np.zeros(10), np.ones((10, 2)), "hessian: expected the shape"),
        (np.full(10, np.nan), np.ones(10), "gradient: expected finite"),
        (np.zeros(10), np.full(10, np.inf), "hessian: expected finite"),
        (np.zeros((10, 0)), np.zeros((10, 0)), "gradient: expected shape"),
    ],
)
def test_gradients_that_do_not_fit(gradient, hessian, message):
    dataset = Dataset(np.arange(20.0).reshape(10, 2))
    with pytest.raises(ValueError, match=message):
        grow_tree(dataset, gradient, hessian, TreeParameters())


@pytest.mark.parametrize("rows", [[], [3, 3], [4, 2], [-1], [10]])
def test_rows_that_do_not_fit(rows):
    dataset = Dataset(np.arange(20.0).reshape(10, 2))
    with pytest.raises(ValueError, match="rows: expected"):
        grow_tree(dataset, np.zeros(10), np.ones(10), TreeParameters(), rows=rows)


@pytest.mark.parametrize(
    "change",
    [
        {"growth": "sideways"},
        {"max_depth": -1},
        {"reg_lambda": -1.0},
        {"gamma": np.nan},
        {"colsample_bynode": 0.0},
        {"colsample_bytree": 1.5},
        {"monotone": (1,)},
        {"monotone": (2, 0)},
    ],
    ids=str,
)
def test_parameters_that_make_no_sense(change):
    dataset = Dataset(np.arange(20.0).reshape(10, 2))
    with pytest.raises(ValueError, match=f"{next(iter(change))}: expected"):
        grow_tree(dataset, np.zeros(10), np.ones(10), TreeParameters(**change))


@pytest.mark.parametrize("max_leaves", [None, 50_000])
def test_an_interrupt_stops_within_a_tree(max_leaves):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200_000, 20)).astype(np.float32)
    dataset, g = Dataset(X), rng.normal(size=200_000)
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        with pytest.raises(KeyboardInterrupt):
            grow_tree(dataset, g, np.ones(200_000), TreeParameters(max_leaves=max_leaves))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    p = TreeParameters(max_leaves=3)
    assert grow_tree(dataset, g, np.ones(200_000), p).tree.n_leaves == 3


def test_nothing_to_gain_is_one_leaf():
    X = np.arange(20.0).reshape(10, 2)
    for g in (np.zeros(10), np.ones(10)):
        tree = grow_tree(Dataset(X), g, np.ones(10), TreeParameters(reg_lambda=0.0)).tree
        assert tree.n_nodes == 1
        assert tree.value[0, 0] == -g[0]


@pytest.mark.parametrize(
    ("criterion", "gradient", "message"),
    [
        ("poisson", 0.5, "gradient: expected none above 0"),
        ("bernoulli", -1.5, "gradient: expected -hessian or more"),
        ("multinomial", -1.5, "gradient: expected -hessian or more"),
    ],
)
def test_gradients_that_no_likelihood_has(criterion, gradient, message):
    dataset = Dataset(np.arange(8.0).reshape(4, 2))
    with pytest.raises(ValueError, match=message):
        grow_tree(dataset, np.full(4, gradient), np.ones(4), TreeParameters(criterion=criterion))
    with pytest.raises(ValueError, match="criterion: expected one of newton, poisson"):
        TreeParameters(criterion="gini")
    with pytest.raises(ValueError, match="quantized: expected False"):
        TreeParameters(criterion=criterion, quantized=True)


@given(
    seed=st.integers(0, 10**6),
    missing=st.sampled_from([0.0, 0.2]),
    categorical=st.booleans(),
    n=st.sampled_from([9, 200]),
)
def test_the_split_of_least_absolute_errors_is_found(seed, missing, categorical, n):
    rng = np.random.default_rng(seed)
    X = rng.integers(0, 6, (n, 1)).astype(float)
    X[rng.random((n, 1)) < missing] = np.nan
    y, w = rng.integers(-64, 65, n) / 8, rng.integers(1, 4, n).astype(float)

    def cost(rows):
        if not rows.any():
            return np.inf
        order = np.argsort(y[rows])
        weight = np.cumsum(w[rows][order])
        median = y[rows][order][np.searchsorted(weight, weight[-1] / 2)]
        return np.sum(w[rows] * np.abs(y[rows] - median))

    everything = np.ones(n, bool)
    gone, x = np.isnan(X[:, 0]), np.nan_to_num(X[:, 0], nan=-1)
    if categorical:  # cuts along the order of the medians
        codes = np.unique(x)
        middle = [np.sort(np.repeat(y[x == c], w[x == c].astype(int))) for c in codes]
        order = codes[np.argsort([m[(len(m) - 1) // 2] for m in middle], kind="stable")]
        if (codes == -1).any():  # a category whose number is the highest
            ranked = sorted(codes, key=lambda c: (c == -1, c))
            medians = {c: m[(len(m) - 1) // 2] for c, m in zip(codes, middle, strict=True)}
            order = np.array(sorted(ranked, key=medians.get))
        lefts = [np.isin(x, order[:k]) for k in range(1, len(order))]
    else:
        lefts = [(x <= c) & ~gone | gone * side for c in range(6) for side in (False, True)]
    best = max([cost(everything) - cost(left) - cost(~left) for left in lefts], default=0.0)
    dataset = Dataset(X, categorical=[0] if categorical else [])
    p = TreeParameters(max_leaves=2, criterion="absolute")
    grown = grow_tree(dataset, -y * w, w, p)
    np.testing.assert_allclose(grown.tree.gain[0], max(best, 0.0), rtol=1e-6, atol=1e-9)
    leaves = [cost(grown.leaf_of_row == leaf) for leaf in np.unique(grown.leaf_of_row)]
    predicted = grown.tree.value[grown.leaf_of_row, 0]
    np.testing.assert_allclose(np.sum(w * np.abs(y - predicted)), sum(leaves), rtol=1e-9)
    if best > 1e-9:
        np.testing.assert_allclose(cost(everything) - sum(leaves), best, rtol=1e-6)


def test_medians_need_no_monotone_features():
    with pytest.raises(ValueError, match="monotone: expected None for criterion absolute"):
        TreeParameters(criterion="absolute", monotone=[1])
