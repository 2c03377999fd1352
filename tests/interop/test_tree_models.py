"""Models of XGBoost and LightGBM, loaded, against what the libraries themselves predict."""

import warnings

import numpy as np
import pytest
from scipy import sparse

from pyllm.trees import load_lightgbm, load_xgboost

xgboost = pytest.importorskip("xgboost")
lightgbm = pytest.importorskip("lightgbm")

ROWS = 1500


def table(rng, *, missing=0.1, zeros=0.1, categories=True):
    """Numbers with NaN and zeros; the last column holds categories, some rare."""
    X = rng.normal(size=(ROWS, 6)) * 10.0 ** rng.integers(-3, 4, 6)
    X[rng.random(X.shape) < zeros] = 0
    X[rng.random(X.shape) < missing] = np.nan
    if categories:
        X[:, 5] = rng.geometric(0.05, ROWS)
        X[rng.random(ROWS) < missing, 5] = np.nan
    return X


def target(rng, X, kind):
    signal = np.nan_to_num(X[:, 0]) / np.nanstd(X[:, 0]) + np.sin(np.nan_to_num(X[:, 5]))
    signal = signal + rng.normal(size=len(X)) * 0.3
    if kind == "binary":
        return (signal > 0).astype(float)
    if kind == "classes":
        return np.digitize(signal, [-1, 0.5]).astype(float)
    if kind == "positive":
        return np.exp(signal) + 0.1
    if kind == "counts":
        return np.round(np.exp(signal.clip(-3, 3)))
    return signal


def unseen(rng, X):
    """Other rows: on the training values, between, far outside, unknown categories."""
    Z = rng.permuted(X, axis=0)
    Z = np.where(rng.random(X.shape) < 0.3, Z * rng.normal(size=X.shape), Z)
    Z[:, 5] = np.where(
        rng.random(ROWS) < 0.3, rng.integers(-3, 500, ROWS), rng.permutation(X[:, 5])
    )
    Z[rng.random(X.shape) < 0.1] = np.nan
    return Z


def close(ours, theirs):
    theirs = np.asarray(theirs, np.float64).reshape(len(ours), -1)
    np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6 * max(1, np.abs(theirs).max()))


XGBOOST = {
    "squared": {},
    "logistic": {"objective": "binary:logistic"},
    "logistic base": {"objective": "binary:logistic", "base_score": 0.2},
    "logitraw": {"objective": "binary:logitraw"},
    "poisson": {"objective": "count:poisson"},
    "gamma": {"objective": "reg:gamma"},
    "tweedie": {"objective": "reg:tweedie"},
    "absolute": {"objective": "reg:absoluteerror"},
    "quantiles": {"objective": "reg:quantileerror", "quantile_alpha": [0.1, 0.5, 0.9]},
    "softprob": {"objective": "multi:softprob", "num_class": 3},
    "forest": {
        "num_parallel_tree": 4,
        "subsample": 0.5,
        "objective": "multi:softmax",
        "num_class": 3,
    },
    "dart": {"booster": "dart", "rate_drop": 0.3},
    "lossguide": {"grow_policy": "lossguide", "max_leaves": 31, "max_depth": 0},
    "one hot": {"max_cat_to_onehot": 100},
    "exact": {"tree_method": "exact", "categorical": False},
    "ranking": {"objective": "rank:ndcg", "group": True},
}
KIND = {
    **dict.fromkeys(["logistic", "logistic base", "logitraw", "ranking"], "binary"),
    **dict.fromkeys(["softprob", "forest"], "classes"),
    **dict.fromkeys(["gamma", "tweedie"], "positive"),
    "poisson": "counts",
}


def train_xgboost(rng, name, rounds=12):
    parameters = {"tree_method": "hist", "max_depth": 5, "verbosity": 0, "seed": 1, **XGBOOST[name]}
    categorical = parameters.pop("categorical", True)
    grouped = parameters.pop("group", False)
    X = table(rng, categories=categorical)
    types = ["float"] * 5 + ["c" if categorical else "float"]
    data = xgboost.DMatrix(
        X,
        target(rng, X, KIND.get(name, "number")),
        feature_types=types,
        enable_categorical=True,
        feature_names=[f"column {i}" for i in range(6)],
    )
    if grouped:
        data.set_group([ROWS // 10] * 10)
    return xgboost.train(parameters, data, rounds), X, types


def xgboost_margin(booster, X, types, **options):
    X = X.copy()
    data = xgboost.DMatrix(
        X, feature_types=types, enable_categorical=True, feature_names=booster.feature_names
    )
    return booster.predict(data, **(options or {"output_margin": True}))


@pytest.mark.parametrize("name", XGBOOST)
@pytest.mark.parametrize("form", ["json", "ubj"])
def test_xgboost(rng, tmp_path, name, form):
    booster, X, types = train_xgboost(rng, name)
    booster.save_model(tmp_path / f"model.{form}")
    forest = load_xgboost(tmp_path / f"model.{form}")
    assert forest == load_xgboost(booster.save_raw(form))
    assert forest.feature_names == booster.feature_names
    assert forest.metadata["objective"] == XGBOOST[name].get("objective", "reg:squarederror")
    for rows in (X, unseen(rng, X)):
        close(forest.predict(rows), xgboost_margin(booster, rows, types))
        single = rows.astype(np.float32)
        close(forest.predict(single), xgboost_margin(booster, single, types))


def test_xgboost_first_rounds(rng):
    booster, X, types = train_xgboost(rng, "forest")
    forest = load_xgboost(booster.save_raw())
    for rounds in (1, 5):
        expected = xgboost_margin(
            booster, X, types, output_margin=True, iteration_range=(0, rounds)
        )
        close(forest[: rounds * 12].predict(X), expected)


def test_xgboost_vector_leaves(rng):
    X = table(rng, categories=False)
    Y = np.stack([target(rng, X, "number"), target(rng, X, "number")], 1)
    parameters = {"multi_strategy": "multi_output_tree", "tree_method": "hist", "max_depth": 4}
    booster = xgboost.train(parameters, xgboost.DMatrix(X, Y), 6)
    forest = load_xgboost(booster.save_raw())
    assert forest.value.shape[1] == 2
    close(forest.predict(X), booster.predict(xgboost.DMatrix(X)))


def test_xgboost_targets(rng):
    X = table(rng, categories=False)
    Y = np.stack([target(rng, X, "number"), X[:, 1] > 0, target(rng, X, "number")], 1)
    booster = xgboost.train({"max_depth": 4}, xgboost.DMatrix(X, Y), 6)
    close(load_xgboost(booster.save_raw()).predict(X), booster.predict(xgboost.DMatrix(X)))


def test_xgboost_sparse(rng):
    X = sparse.random(ROWS, 30, 0.2, format="csr", random_state=1)
    y = np.asarray(X[:, :3].sum(1)).ravel()
    booster = xgboost.train({"max_depth": 5}, xgboost.DMatrix(X, y), 8)
    forest = load_xgboost(booster.save_raw())
    close(forest.predict(X, absent=np.nan), booster.predict(xgboost.DMatrix(X), output_margin=True))


def test_xgboost_linear_is_refused(rng):
    X = rng.normal(size=(50, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        booster = xgboost.train({"booster": "gblinear"}, xgboost.DMatrix(X, X[:, 0]), 2)
    with pytest.raises(ValueError, match="gblinear"):
        load_xgboost(booster.save_raw())


LIGHTGBM = {
    "squared": {},
    "binary": {"objective": "binary"},
    "multiclass": {"objective": "multiclass", "num_class": 3},
    "one against all": {"objective": "multiclassova", "num_class": 3},
    "poisson": {"objective": "poisson"},
    "zero as missing": {"zero_as_missing": True},
    "no missing": {"use_missing": False},
    "dart": {"boosting": "dart", "drop_rate": 0.3},
    "goss": {"data_sample_strategy": "goss"},
    "one hot": {"max_cat_to_onehot": 200, "min_data_per_group": 5},
    "small leaves": {"num_leaves": 200, "min_data_in_leaf": 1, "min_data_per_group": 1},
    "stumps that do not split": {"min_data_in_leaf": 2000},
}
LIGHTGBM_KIND = {
    "binary": "binary",
    "multiclass": "classes",
    "one against all": "classes",
    "poisson": "counts",
}


def train_lightgbm(rng, name="squared", rounds=12, missing=0.1, **more):
    X = table(rng, missing=missing)
    y = target(rng, X, LIGHTGBM_KIND.get(name, "number"))
    parameters = {"verbose": -1, "num_leaves": 31, "min_data_per_group": 10, **LIGHTGBM[name]}
    data = lightgbm.Dataset(X, y, categorical_feature=[5], params={"verbose": -1, **LIGHTGBM[name]})
    return lightgbm.train({**parameters, **more}, data, rounds), X


@pytest.mark.parametrize("missing", [0.1, 0.0])
@pytest.mark.parametrize("name", LIGHTGBM)
def test_lightgbm(rng, tmp_path, name, missing):
    booster, X = train_lightgbm(rng, name, missing=missing)
    booster.save_model(tmp_path / "model.txt")
    forest = load_lightgbm(tmp_path / "model.txt")
    assert forest == load_lightgbm(booster.model_to_string())
    assert forest.feature_names == booster.feature_name()
    for rows in (X, unseen(rng, X), np.float32(X)):
        close(forest.predict(rows), booster.predict(rows, raw_score=True))


def test_lightgbm_random_forest(rng):
    more = {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5}
    booster, X = train_lightgbm(rng, **more)
    forest = load_lightgbm(booster.model_to_string())
    assert forest.average
    close(forest.predict(X), booster.predict(X))
    close(forest[:5].predict(X), booster.predict(X, num_iteration=5))


def test_lightgbm_sparse(rng):
    X = sparse.random(ROWS, 30, 0.2, format="csr", random_state=1)
    y = np.asarray(X[:, :3].sum(1)).ravel()
    booster = lightgbm.train({"verbose": -1}, lightgbm.Dataset(X, y), 8)
    forest = load_lightgbm(booster.model_to_string())
    for layout in (X, X.tocsc()):
        close(forest.predict(layout), booster.predict(X))


def test_lightgbm_linear_is_refused(rng):
    booster, _ = train_lightgbm(rng, linear_tree=True)
    with pytest.raises(ValueError, match="linear"):
        load_lightgbm(booster.model_to_string())


@pytest.mark.parametrize("name", ["squared", "softprob", "one hot", "dart", "lossguide"])
def test_shap_of_xgboost(rng, name):
    booster, X, types = train_xgboost(rng, name, rounds=5)
    forest = load_xgboost(booster.save_raw())
    X = X[:40]
    for option, interactions in (("pred_contribs", False), ("pred_interactions", True)):
        theirs = xgboost_margin(booster, X, types, **{option: True})
        ours = forest.shap(X, interactions=interactions)
        close_to(ours, theirs.reshape(ours.shape), 2e-5)


@pytest.mark.parametrize("name", ["squared", "multiclass", "zero as missing", "no missing"])
def test_shap_of_lightgbm(rng, name):
    booster, X = train_lightgbm(rng, name, rounds=5)
    ours = load_lightgbm(booster.model_to_string()).shap(X[:40])
    close_to(ours, booster.predict(X[:40], pred_contrib=True).reshape(ours.shape), 1e-6)


def close_to(ours, theirs, tolerance):
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * np.abs(theirs).max())
