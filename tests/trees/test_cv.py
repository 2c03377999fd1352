"""Cross-validation, its folds, and refitting."""

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris

from pyllm.trees.boost import Booster, boost
from pyllm.trees.boost_parameters import BoostParameters
from pyllm.trees.cv import cv
from pyllm.trees.dataset import Dataset
from pyllm.trees.folds import grouped_folds, plain_folds, stratified_folds
from pyllm.trees.losses import make_objective
from pyllm.trees.metric import make_metric
from pyllm.trees.objective import Labels
from pyllm.trees.refit import refit
from pyllm.trees.tree_parameters import TreeParameters

TREE = TreeParameters(max_leaves=8, min_child_samples=10)


def assert_partition(folds, n):
    tested = np.concatenate([test for _, test in folds])
    assert sorted(tested) == list(range(n))
    for train, test in folds:
        assert len(np.intersect1d(train, test)) == 0
        assert len(train) + len(test) == n


@pytest.mark.parametrize("n_folds", [2, 3, 7])
def test_folds_part_the_rows(n_folds, rng):
    n = 100
    y, groups = rng.integers(0, 3, n), rng.integers(0, 12, n)
    plain = list(plain_folds(n, n_folds, 1))
    assert_partition(plain, n)
    assert np.ptp([len(test) for _, test in plain]) <= 1
    stratified = list(stratified_folds(y, n_folds, 1))
    assert_partition(stratified, n)
    for value in range(3):
        assert np.ptp([(y[test] == value).sum() for _, test in stratified]) <= 1
    grouped = list(grouped_folds(groups, n_folds, 1))
    assert_partition(grouped, n)
    for train, test in grouped:
        assert len(np.intersect1d(groups[train], groups[test])) == 0
    again = list(plain_folds(n, n_folds, 1))
    assert all((a[1] == b[1]).all() for a, b in zip(plain, again, strict=True))


@pytest.mark.parametrize("n_folds", [1, 11])
def test_folds_out_of_range_are_refused(n_folds):
    for make in (lambda: plain_folds(10, n_folds), lambda: grouped_folds(np.arange(10), n_folds)):
        with pytest.raises(ValueError, match="folds: expected 2 to 10"):
            list(make())


def test_cross_validation_is_boosting_on_each_fold():
    X, y = load_diabetes(return_X_y=True)
    folds = list(plain_folds(len(y), 3, 5))
    parameters = BoostParameters(seed=2, subsample=0.8)
    result = cv(X, y, "squared_error", parameters, TREE, n_rounds=15, folds=folds)
    last = []
    for train, test in folds:
        objective = make_objective("squared_error")
        labels = objective.prepare(Labels(y[train]))
        forest = boost(Booster(Dataset(X[train]), labels, objective, parameters, TREE), 15).forest
        response = forest.predict(X[test]).T
        last.append(make_metric("rmse").measure(Labels(y[test]), response))
    assert result.mean["rmse"][-1] == pytest.approx(np.mean(last))
    assert result.std["rmse"][-1] == pytest.approx(np.std(last))
    assert len(result.mean["rmse"]) == 15


def test_it_stops_at_the_best_mean():
    X, y = load_diabetes(return_X_y=True)
    parameters = BoostParameters(learning_rate=0.3)
    result = cv(X, y, "squared_error", parameters, TREE, n_rounds=300, early_stopping_rounds=5)
    values = result.mean["rmse"]
    assert result.best_round == int(np.argmin(values)) + 1 == len(values) - 5
    assert {f.n_trees for f in result.forests} == {result.best_round}


def test_classes_groups_and_metrics():
    X, y = load_breast_cancer(return_X_y=True)
    result = cv(X, y, "log_loss", tree=TREE, n_rounds=30, folds=3, metrics=["auc", "log_loss"])
    assert result.mean["auc"][-1] > 0.97
    assert result.mean["log_loss"][-1] < result.mean["log_loss"][0]
    X, y = load_iris(return_X_y=True)
    objective = make_objective("softmax", n_classes=3)
    groups = np.arange(150) % 10
    result = cv(X, y, objective, tree=TREE, n_rounds=20, folds=5, groups=groups, metrics=["error"])
    assert result.mean["error"][-1] < 0.1


def test_queries_stay_whole(rng):
    sizes = rng.integers(5, 20, 40)
    offset = np.append(0, np.cumsum(sizes))
    X = rng.normal(size=(offset[-1], 4))
    y = np.digitize(X[:, 0], [0.5, 1.5])
    weight = rng.exponential(size=40)
    result = cv(
        X, y, "lambdarank", tree=TREE, n_rounds=20, folds=4, weight=weight, query_offset=offset
    )
    assert result.mean["ndcg"][-1] > 0.9
    torn = [(np.arange(7, offset[-1]), np.arange(7))]
    with pytest.raises(ValueError, match="whole queries"):
        cv(X, y, "lambdarank", tree=TREE, folds=torn, query_offset=offset)


def fitted(loss, X, y, n_rounds=10, **options):
    objective = make_objective(loss, **options)
    labels = objective.prepare(Labels(y))
    parameters = BoostParameters(learning_rate=0.3)
    booster = Booster(Dataset(X), labels, objective, parameters, TREE)
    return boost(booster, n_rounds).forest, labels, objective


@pytest.mark.parametrize(
    ("loss", "options"),
    [("squared_error", {}), ("absolute_error", {}), ("softmax", {"n_classes": 3})],
)
def test_refitting_on_the_same_rows_changes_nothing(loss, options):
    X, y = load_iris(return_X_y=True)
    forest, labels, objective = fitted(loss, X, y.astype(float), **options)
    again = refit(forest, X, labels, objective, learning_rate=lambda round: 0.3)
    np.testing.assert_allclose(again.predict(X), forest.predict(X), rtol=1e-4, atol=1e-4)
    kept = refit(forest, X, labels, objective, keep=1.0)
    np.testing.assert_allclose(kept.predict(X), forest.predict(X))


def test_refitting_learns_from_new_rows():
    X, y = load_diabetes(return_X_y=True)
    forest, _, objective = fitted("squared_error", X[:200], y[:200], 30)
    labels = objective.prepare(Labels(2.0 * y))
    again = refit(forest, X, labels, objective, learning_rate=lambda round: 0.3)
    error = np.mean((again.predict(X)[:, 0] - 2 * y) ** 2)
    assert error < 0.5 * np.var(2 * y)
    assert (again.feature == forest.feature).all()
    with pytest.raises(ValueError, match="keep"):
        refit(forest, X, labels, objective, keep=2.0)
