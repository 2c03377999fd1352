"""Trees and boosting on a device: the models of the CPU, to the bit, through the Python API."""

import gc

import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import load_breast_cancer, load_iris

from pyllm import cuda
from pyllm.ensemble import GradientBoostingClassifier, GradientBoostingRegressor
from pyllm.trees import BoostParameters, Dataset, TreeParameters, grow_tree, train
from pyllm.trees.tree import NODE_DTYPES
from tests.cuda.emulator.module import emulated_module

SEED = 5


@pytest.fixture(
    autouse=True, params=["cuda-emulated", pytest.param("cuda", marks=pytest.mark.on_gpu)]
)
def module(request, monkeypatch):
    """What serves as pyllm._cuda; every test gives all its memory back."""
    if request.param == "cuda-emulated":
        loaded = emulated_module()
        monkeypatch.setattr(cuda, "extension", lambda: loaded)
    stats = cuda.extension().memory_stats
    gc.collect()
    before = stats()["in_use"]
    yield
    gc.collect()
    assert stats()["in_use"] == before


def make_rows(rng, n=900):
    """Numbers, few values, missing values, one value alone."""
    x = rng.normal(size=(n, 6))
    x[:, 1] = rng.integers(0, 4, n)
    x[rng.random(x.shape) < 0.1] = np.nan
    x[:, 4] = 3.0
    x[:, 5] = rng.normal(size=n)
    return x


def make_derivatives(rng, x, outputs=1):
    n = len(x)
    shape = (n, outputs) if outputs > 1 else (n,)
    target = 2 * np.nan_to_num(x[:, 0]) + (np.nan_to_num(x[:, 1]) > 1)
    gradient = (rng.normal(size=shape).T + target).T.astype(np.float32)
    return gradient, rng.uniform(0.01, 1.5, shape).astype(np.float32)


def on_both(x, gradient, hessian, parameters, max_bin=32, **options):
    """The tree of the device after it was compared with that of the CPU."""
    grown = [
        grow_tree(
            Dataset(x, max_bin=max_bin, device=device), gradient, hessian, parameters, seed=SEED,
            **options,
        )
        for device in ("cpu", "cuda")
    ]  # fmt: skip
    for name in NODE_DTYPES:
        np.testing.assert_array_equal(
            getattr(grown[1].tree, name), getattr(grown[0].tree, name), err_msg=name
        )
    np.testing.assert_array_equal(grown[1].leaf_of_row, grown[0].leaf_of_row)
    return grown[1].tree


@pytest.mark.parametrize("growth", ["leafwise", "depthwise"])
@pytest.mark.parametrize(
    "settings",
    [
        {"max_leaves": 12},
        {"max_leaves": 2},
        {"max_leaves": 40, "max_depth": 4},
        {"max_leaves": None, "max_depth": 5},
        {"max_leaves": None},
        {"reg_alpha": 2.0, "gamma": 0.5, "max_delta_step": 0.4},
        {"min_child_samples": 30, "min_child_weight": 3.0},
        {"min_split_samples": 100, "max_leaves": None},
        {"monotone": [1, -1, 0, 1, 0, -1]},
        {"interaction": [{0, 1}, {2, 5}]},
        {"colsample_bytree": 0.7, "colsample_bylevel": 0.7, "colsample_bynode": 0.7},
        {"quantized": True},
    ],
    ids=str,
)
def test_trees(rng, growth, settings):
    x = make_rows(rng)
    tree = on_both(x, *make_derivatives(rng, x), TreeParameters(growth=growth, **settings))
    assert tree.n_leaves > 1


@pytest.mark.parametrize("settings", [{"max_leaves": 20}, {"monotone": [1, 0, 0, 0, 0, -1]}])
def test_vector_leaves(rng, settings):
    x = make_rows(rng, 500)
    tree = on_both(x, *make_derivatives(rng, x, 3), TreeParameters(**settings))
    assert tree.value.shape == (tree.n_nodes, 3)


@pytest.mark.parametrize("growth", ["leafwise", "depthwise"])
def test_some_of_the_rows(rng, growth):
    """Rows out of the bag are led to leaves, missing values that training saw nowhere too."""
    x = make_rows(rng)
    rows = np.flatnonzero((rng.random(len(x)) < 0.5) & ~np.isnan(x[:, 0])).astype(np.int32)
    on_both(x, *make_derivatives(rng, x), TreeParameters(growth=growth), rows=rows)


@pytest.mark.parametrize("share", [1.0, 0.9])
def test_many_rows(rng, share):
    """Leaves are summed in blocks of 16,384 of the rows that take part."""
    x = rng.normal(size=(40_000, 2))
    rows = None if share == 1 else np.flatnonzero(rng.random(len(x)) < share).astype(np.int32)
    on_both(x, *make_derivatives(rng, x), TreeParameters(max_leaves=4), 16, rows=rows)


def test_wide_codes(rng):
    """Some features of more than 255 bins; drawn in the CPU's order, narrow ones first."""
    x = make_rows(rng, 1500)
    parameters = TreeParameters(max_leaves=25, colsample_bynode=0.6)
    on_both(x, *make_derivatives(rng, x), parameters, max_bin=1000)


def test_outliers_take_sums_of_64_bits(rng):
    x = make_rows(rng)
    gradient, hessian = make_derivatives(rng, x)
    gradient[7] = 1e7
    tree = on_both(x, gradient, hessian, TreeParameters(max_leaves=20))
    assert tree.n_leaves > 2


def test_no_split(rng):
    """Gradients of nothing, one row, one value: a root alone."""
    x = make_rows(rng, 50)
    assert on_both(x, np.zeros(50, "f"), np.ones(50, "f"), TreeParameters()).n_nodes == 1
    assert on_both(x[:1], np.ones(1, "f"), np.ones(1, "f"), TreeParameters()).n_nodes == 1
    constant = np.ones((50, 1))
    assert on_both(constant, *make_derivatives(rng, x), TreeParameters()).n_nodes == 1


def test_derivatives_on_the_device(rng):
    """Leaves of rows stay where the gradients are."""
    x = make_rows(rng)
    gradient, hessian = make_derivatives(rng, x)
    data = Dataset(x, max_bin=32, device="cuda:0")
    there = grow_tree(data, cuda.to_device(gradient), cuda.to_device(hessian), TreeParameters())
    here = grow_tree(data, gradient, hessian, TreeParameters())
    assert there.leaf_of_row.device == 0
    np.testing.assert_array_equal(there.leaf_of_row.numpy(), here.leaf_of_row)


def boosted(device, x, y, loss, parameters=None, tree=None, **options):
    data = Dataset(x, max_bin=32, device=device)
    return train(data, y, loss, parameters, tree or TreeParameters(max_leaves=7), **options)


@pytest.mark.parametrize(
    "loss", ["squared_error", "log_loss", "poisson", "gamma", "tweedie", "huber@0.5", "rank_map"]
)
def test_boosting(rng, loss):
    x = make_rows(rng, 400)
    y = (np.nan_to_num(x[:, 0]) + rng.normal(size=400) > 0) + (1.0 if loss == "gamma" else 0.0)
    options = {"n_rounds": 4}
    if loss == "rank_map":
        options["query_offset"] = np.array([0, 150, 400])
    else:
        options["weight"] = rng.random(400)
    models = [boosted(device, x, y, loss, **options) for device in ("cpu", "cuda")]
    assert models[0].forest == models[1].forest


@pytest.mark.parametrize("multi_output", ["per_output", "vector"])
def test_boosting_of_classes(rng, multi_output):
    x, y = load_iris(return_X_y=True)
    models = [
        GradientBoostingClassifier(
            n_estimators=3, min_samples_leaf=3, max_leaf_nodes=6, multi_output=multi_output,
            random_state=0, device=device,
        ).fit(x, y)
        for device in ("cpu", "cuda")
    ]  # fmt: skip
    assert models[0].forest_ == models[1].forest_
    np.testing.assert_array_equal(models[1].predict_proba(x), models[0].predict_proba(x))


def test_boosting_with_validation(rng):
    """Bagging, columns drawn, early stopping, and going on from a forest."""
    x, y = load_breast_cancer(return_X_y=True)
    rows, rest = slice(0, 400), slice(400, None)
    parameters = BoostParameters(subsample=0.6, seed=3)
    tree = TreeParameters(max_leaves=6, colsample_bytree=0.5)
    models = []
    for device in ("cpu", "cuda"):
        first = boosted(
            device, x[rows], y[rows], "log_loss", parameters, tree, n_rounds=6,
            eval_sets={"rest": (x[rest], y[rest])}, early_stopping_rounds=4,
        )  # fmt: skip
        more = boosted(
            device, x[rows], y[rows], "log_loss", parameters, tree, n_rounds=2,
            start=(first.forest, x[rows]),
        )  # fmt: skip
        models.append((first.history, first.forest, more.forest))
    assert models[0] == models[1]


def test_a_loss_of_the_callers(rng):
    """Differentiated on the CPU, boosted on the device."""
    x = make_rows(rng, 300)
    y = np.nan_to_num(x[:, 0])
    models = [
        GradientBoostingRegressor(
            loss=lambda y, margin: (margin - y, np.ones_like(y)), n_estimators=3, device=device,
            random_state=0,
        ).fit(x, y)
        for device in ("cpu", "cuda")
    ]  # fmt: skip
    assert models[0].forest_ == models[1].forest_


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_prediction(rng, dtype):
    x = make_rows(rng, 300)
    forest = boosted("cuda", x, np.nan_to_num(x[:, 0]), "squared_error", n_rounds=5).forest
    rows = x.astype(dtype)
    there = cuda.to_device(rows)
    np.testing.assert_array_equal(forest.predict(there).numpy(), forest.predict(rows))
    np.testing.assert_array_equal(forest.leaves(there).numpy(), forest.leaves(rows))
    some = {"first_tree": 1, "n_trees": 2}
    np.testing.assert_array_equal(
        forest.predict(there, **some).numpy(), forest.predict(rows, **some)
    )
    columns = there[:, ::-1][:, ::-1]
    np.testing.assert_array_equal(forest.predict(columns).numpy(), forest.predict(rows))
    with pytest.raises(ValueError, match="X: expected 6 features, got 3"):
        forest.predict(there[:, :3])


def test_a_data_set_that_is_there(rng):
    """An estimator's device is that of the Dataset; blocks are binned where it says."""
    x = make_rows(rng, 300)
    y = np.nan_to_num(x[:, 0])
    settings = {"n_estimators": 2, "max_bin": 32, "random_state": 0}
    here = GradientBoostingRegressor(**settings).fit(x, y)
    there = GradientBoostingRegressor(**settings, device="cuda")
    assert there.fit(Dataset(x, max_bin=32, device="cuda:0"), y).forest_ == here.forest_
    assert there.fit([x[:100], x[100:]], y).forest_ == here.forest_
    with pytest.raises(ValueError, match="device: expected 'cpu', as the Dataset, got 'cuda'"):
        there.fit(Dataset(x), y)


def test_settings_that_a_device_does_not_have(rng):
    x = make_rows(rng, 100)
    y = rng.integers(0, 2, 100)
    with pytest.raises(ValueError, match="categorical: categorical features are not supported"):
        Dataset(x, categorical=[1], device="cuda")
    with pytest.raises(ValueError, match="max_bin: expected at most 9999"):
        Dataset(x, max_bin=10_000, device="cuda")
    with pytest.raises(ValueError, match="cuda:7 cannot be used: there are 2"):
        Dataset(x, device="cuda:7")
    gradient, hessian = make_derivatives(rng, x)
    with pytest.raises(ValueError, match="extra_random: random cuts are not supported"):
        grow_tree(Dataset(x, device="cuda"), gradient, hessian, TreeParameters(extra_random=True))
    with pytest.raises(ValueError, match="criterion: 'poisson' is not supported"):
        grow_tree(Dataset(x, device="cuda"), gradient, hessian, TreeParameters(criterion="poisson"))
    with pytest.raises(ValueError, match="X: sparse matrices are not supported"):
        Dataset(sparse.csr_array(np.nan_to_num(x)), device="cuda")
    for name, options in (
        ("booster", {"booster": "dart"}),
        ("sampling", {"sampling": "goss"}),
        ("first_order", {"first_order": True}),
    ):
        with pytest.raises(ValueError, match=f"{name}: .*not supported with device='cuda'"):
            boosted("cuda", x, y, "log_loss", BoostParameters(**options))
    with pytest.raises(ValueError, match="loss: absolute_error renews the values of leaves"):
        boosted("cuda", x, y, "absolute_error")


def test_bad_input(rng):
    x = make_rows(rng, 100)
    gradient, hessian = make_derivatives(rng, x)
    data = Dataset(x, device="cuda")
    with pytest.raises(ValueError, match="gradient: expected finite values"):
        grow_tree(data, np.full(100, np.nan), hessian, TreeParameters())
    with pytest.raises(ValueError, match="rows: expected rising row numbers below 100"):
        grow_tree(data, gradient, hessian, TreeParameters(), rows=[3, 3])
    with pytest.raises(ValueError, match="rows: expected at least one row"):
        grow_tree(data, gradient, hessian, TreeParameters(), rows=[])
    with pytest.raises(ValueError, match="gradient: expected shape"):
        grow_tree(data, gradient[:50], hessian, TreeParameters())


def test_no_device(rng, monkeypatch):
    monkeypatch.setattr(cuda, "extension", lambda: None)
    with pytest.raises(ValueError, match="cuda cannot be used: built without CUDA"):
        Dataset(rng.normal(size=(10, 2)), device="cuda")
