"""Derivatives and accuracy beside LightGBM and XGBoost."""

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.metrics import log_loss, ndcg_score, roc_auc_score
from sklearn.model_selection import train_test_split

from pyllm import _cpu
from pyllm.ensemble import (
    GradientBoostingClassifier,
    GradientBoostingRanker,
    GradientBoostingRegressor,
)
from pyllm.trees.losses import make_objective
from pyllm.trees.objective import Labels

lightgbm = pytest.importorskip("lightgbm")
xgboost = pytest.importorskip("xgboost")


def leaf_of_one_node(margin, y, objective, **options):
    """(sum of gradients, sum of hessians) as XGBoost sees them, from a tree without splits.

    The leaf is -G / (H + lambda): two values of lambda give both.
    """
    data = xgboost.DMatrix(np.zeros((len(y), 1)), y, base_margin=margin)
    leaves = []
    for reg_lambda in (0.0, 100.0):
        parameters = {
            "objective": objective,
            "max_depth": 1,
            "eta": 1.0,
            "lambda": reg_lambda,
            "min_child_weight": 0,
            "max_delta_step": 0,
            "base_score": 0.5,
            **options,
        }
        table = xgboost.train(parameters, data, 1).get_dump(dump_format="json")[0]
        leaves.append(float(table.split('"leaf": ')[1].split()[0].rstrip(",}")))
    hessian = 100 * leaves[1] / (leaves[0] - leaves[1])
    return -leaves[0] * hessian, hessian


@pytest.mark.parametrize(
    ("loss", "objective", "options"),
    [
        ("squared_error", "reg:squarederror", {}),
        ("log_loss", "binary:logistic", {}),
        ("poisson", "count:poisson", {"max_delta_step": 0.7}),
        ("gamma", "reg:gamma", {}),
        ("tweedie@1.3", "reg:tweedie", {"tweedie_variance_power": 1.3}),
    ],
)
def test_derivatives_are_xgboosts(loss, objective, options, rng):
    n = 200
    margin = rng.normal(size=n)
    y = (rng.random(n) < 0.5).astype(float) if loss == "log_loss" else rng.gamma(2.0, size=n)
    if loss == "poisson":
        y = y.round()
    ours = make_objective(loss)
    gradient, hessian = np.empty((2, 1, n), np.float32)
    ours.derivatives(margin[np.newaxis], ours.prepare(Labels(y)), gradient, hessian)
    expected = leaf_of_one_node(margin, y, objective, **options)
    np.testing.assert_allclose([gradient.sum(), hessian.sum()], expected, rtol=2e-3, atol=2e-2)


def test_lambdarank_is_lightgbms(rng):
    """One tree with a leaf for every row: its values are -G / H of each row."""
    n = 24
    X = np.arange(n, dtype=float)[:, np.newaxis]
    y, margin = rng.integers(0, 4, n), rng.normal(size=n)
    data = lightgbm.Dataset(
        X, y, group=[n], init_score=margin, params={"min_data_in_bin": 1, "max_bin": n}
    )
    parameters = {
        "objective": "lambdarank",
        "num_leaves": n,
        "min_data_in_leaf": 1,
        "min_sum_hessian_in_leaf": 0.0,
        "learning_rate": 1.0,
        "boost_from_average": False,
        "lambda_l2": 0.0,
        "verbose": -1,
    }
    booster = lightgbm.train(parameters, data, 1)
    leaf = booster.predict(X, pred_leaf=True)[:, 0]
    gradient, hessian = np.empty((2, n), np.float32)
    _cpu.tree_rank_gradient(
        "ndcg", margin, y * 1.0, np.array([0, n]), None, gradient, hessian, 1.0, 30, True
    )
    G, H = np.bincount(leaf, gradient), np.bincount(leaf, hessian)
    assert len(G) > n // 2  # nearly every row in a leaf of its own
    # LightGBM looks sigmoids up in a table.
    np.testing.assert_allclose(booster.predict(X, raw_score=True), (-G / H)[leaf], rtol=2e-3)


@pytest.mark.parametrize("growth", ["leafwise", "depthwise"])
@pytest.mark.parametrize("load", [load_breast_cancer, load_digits])
def test_classification_is_as_good_as_the_peers(load, growth):
    X, y = load(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, y, random_state=0)
    leafwise = growth == "leafwise"
    ours = GradientBoostingClassifier(
        n_estimators=50,
        growth=growth,
        max_depth=None if leafwise else 5,
        reg_lambda=0.0 if leafwise else 1.0,
        random_state=0,
    ).fit(X, y)
    peer = (
        lightgbm.LGBMClassifier(n_estimators=50, verbose=-1, n_jobs=1)
        if leafwise
        else xgboost.XGBClassifier(n_estimators=50, max_depth=5, learning_rate=0.1, n_jobs=1)
    ).fit(X, y)
    assert ours.score(X_test, y_test) >= peer.score(X_test, y_test) - 0.02
    theirs = log_loss(y_test, peer.predict_proba(X_test))
    assert log_loss(y_test, ours.predict_proba(X_test)) <= 1.25 * theirs


@pytest.mark.parametrize(
    ("loss", "peer_loss"),
    [("squared_error", "l2"), ("absolute_error", "l1"), ("poisson", "poisson")],
)
def test_regression_is_as_good_as_lightgbms(loss, peer_loss):
    X, y = load_diabetes(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, y, random_state=0)
    ours = GradientBoostingRegressor(loss=loss, n_estimators=50, random_state=0).fit(X, y)
    peer = lightgbm.LGBMRegressor(n_estimators=50, objective=peer_loss, verbose=-1, n_jobs=1).fit(
        X, y
    )
    assert ours.score(X_test, y_test) >= peer.score(X_test, y_test) - 0.05


def test_ranking_is_as_good_as_lightgbms(rng):
    queries, rows = 80, 25

    def draw():
        X = rng.normal(size=(queries * rows, 6))
        score = X[:, 0] + X[:, 1] * X[:, 2] + 0.3 * rng.normal(size=len(X))
        return X, np.digitize(score, [0.3, 1.0, 2.0])

    group = np.full(queries, rows)
    X, y = draw()
    X_test, y_test = draw()
    ours = GradientBoostingRanker(n_estimators=50, random_state=0).fit(X, y, group=group)
    peer = lightgbm.LGBMRanker(n_estimators=50, verbose=-1, n_jobs=1).fit(X, y, group=group)

    def ndcg(model):
        predicted = model.predict(X_test).reshape(queries, rows)
        return ndcg_score(2.0 ** y_test.reshape(queries, rows) - 1, predicted)

    assert ndcg(ours) >= ndcg(peer) - 0.02


def test_many_categories_are_used_as_well_as_by_lightgbm():
    """Of 300 categories most are rare: they must not be learned by heart."""
    rng = np.random.default_rng(0)
    n, counts = 6000, (5, 40, 300)
    X = np.empty((2 * n, 5))
    X[:, :2] = rng.normal(size=(2 * n, 2))
    score = X[:, 0] * X[:, 1]
    for k, count in enumerate(counts):
        share = 1.0 / (np.arange(count) + 3.0)
        X[:, 2 + k] = rng.choice(count, 2 * n, p=share / share.sum())
        score += rng.normal(size=count)[X[:, 2 + k].astype(int)]
    y = (score + rng.logistic(size=2 * n) > 0).astype(int)
    features = [2, 3, 4]
    ours = GradientBoostingClassifier(
        n_estimators=60, categorical_features=features, reg_lambda=0.0, random_state=0
    ).fit(X[:n], y[:n])
    peer = lightgbm.LGBMClassifier(n_estimators=60, verbose=-1, n_jobs=1)
    peer.fit(X[:n], y[:n], categorical_feature=features)
    p, q = (model.predict_proba(X[n:]) for model in (ours, peer))
    assert roc_auc_score(y[n:], p[:, 1]) >= roc_auc_score(y[n:], q[:, 1]) - 0.001
    assert log_loss(y[n:], p) <= log_loss(y[n:], q) + 0.001


@pytest.mark.parametrize("n", [120, 400])
def test_few_rows_of_categories_are_used_as_well_as_by_xgboost(n):
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.integers(0, 8, 2000), rng.normal(size=2000)]).astype(float)
    y = np.array([0, 3, 1, 2, 0, 3, 1, 2.0])[X[:, 0].astype(int)] + 0.3 * X[:, 1]
    y += 0.2 * rng.normal(size=2000)
    options = {"n_estimators": 60, "random_state": 0}
    ours = GradientBoostingRegressor(categorical_features=[0], min_samples_leaf=5, **options)
    peer = xgboost.XGBRegressor(
        learning_rate=0.1, feature_types=["c", "q"], enable_categorical=True, n_jobs=1, **options
    )
    for model in (ours, peer):
        model.fit(X[:n], y[:n])
    assert ours.score(X[n:], y[n:]) >= peer.score(X[n:], y[n:]) - 0.02
