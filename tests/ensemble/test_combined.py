"""AdaBoost, bagging, stacking and voting."""

import numpy as np
import pytest
from sklearn import ensemble as sk
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_wine
from sklearn.linear_model import Ridge
from sklearn.model_selection import cross_val_score, train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.tree import DecisionTreeClassifier as PeerTree
from sklearn.tree import DecisionTreeRegressor as PeerRegressor

from pyllm.ensemble import (
    AdaBoostClassifier,
    AdaBoostRegressor,
    BaggingClassifier,
    BaggingRegressor,
    DecisionTreeClassifier,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    RandomForestClassifier,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
)


def split(load):
    return train_test_split(*load(return_X_y=True), random_state=0)


@pytest.mark.parametrize("load", [load_breast_cancer, load_iris])
def test_adaboost_is_scikit_learns_over_the_same_trees(load):
    """SAMME has no luck in it: the same estimators, weights and errors, round by round."""
    X, y = load(return_X_y=True)
    ours = AdaBoostClassifier(PeerTree(max_depth=1), n_estimators=15, random_state=0).fit(X, y)
    theirs = sk.AdaBoostClassifier(PeerTree(max_depth=1), n_estimators=15, random_state=0)
    theirs.fit(X, y)
    n = min(len(ours.estimators_), len(theirs.estimators_))
    assert n >= 10
    np.testing.assert_allclose(ours.estimator_errors_[:n], theirs.estimator_errors_[:n], rtol=1e-6)
    np.testing.assert_allclose(
        ours.estimator_weights_[:n], theirs.estimator_weights_[:n], rtol=1e-6
    )
    assert (ours.predict(X) == theirs.predict(X)).all()
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), rtol=1e-6)


def test_adaboost_r2_weighs_and_takes_the_median():
    X, X_test, y, y_test = split(load_diabetes)
    single = PeerRegressor(max_depth=3).fit(X, y)
    model = AdaBoostRegressor(n_estimators=40, random_state=0).fit(X, y)
    assert model.score(X_test, y_test) > single.score(X_test, y_test)
    stages = list(model.staged_predict(X_test))
    np.testing.assert_array_equal(stages[-1], model.predict(X_test))
    guesses = np.array([e.predict(X_test) for e in model.estimators_])
    for i in range(5):
        order = np.argsort(guesses[:, i])
        share = np.cumsum(model.estimator_weights_[order])
        first = order[np.argmax(share >= share[-1] / 2)]
        assert model.predict(X_test)[i] == guesses[first, i]
    for loss in ("square", "exponential"):
        assert AdaBoostRegressor(loss=loss, n_estimators=20).fit(X, y).score(X_test, y_test) > 0.2


def test_adaboost_stops_when_it_is_perfect_or_lost():
    X, y = load_iris(return_X_y=True)
    assert len(AdaBoostClassifier(PeerTree()).fit(X, y).estimators_) == 1
    rng = np.random.default_rng(0)
    noise = AdaBoostClassifier(n_estimators=5).fit(np.ones((40, 1)), rng.integers(0, 2, 40))
    assert np.isfinite(noise.predict_proba(np.ones((2, 1)))).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_estimators": 0}, "n_estimators"),
        ({"learning_rate": 0}, "learning_rate"),
        ({"estimator": KNeighborsClassifier()}, "takes no sample_weight"),
    ],
)
def test_adaboost_names_what_does_not_fit(options, message):
    with pytest.raises(ValueError, match=message):
        AdaBoostClassifier(**options).fit(*load_iris(return_X_y=True))


def test_bagging_is_better_than_one_tree():
    X, X_test, y, y_test = split(load_digits)
    single = PeerTree(random_state=0).fit(X, y).score(X_test, y_test)
    model = BaggingClassifier(n_estimators=25, oob_score=True, random_state=0).fit(X, y)
    assert model.score(X_test, y_test) > single + 0.05
    assert abs(model.oob_score_ - model.score(X_test, y_test)) < 0.06
    X, X_test, y, y_test = split(load_diabetes)
    model = BaggingRegressor(n_estimators=25, oob_score=True, random_state=0).fit(X, y)
    assert model.score(X_test, y_test) > 0.2
    assert model.oob_prediction_.shape == y.shape


@pytest.mark.parametrize(
    "options",
    [
        {"max_features": 0.5},
        {"max_features": 5, "bootstrap_features": True},
        {"bootstrap": False, "max_samples": 0.5},
        {"estimator": KNeighborsClassifier()},
        {"estimator": GradientBoostingClassifier(n_estimators=5)},
    ],
)
def test_bagging_of_anything(options):
    X, X_test, y, y_test = split(load_wine)
    model = BaggingClassifier(n_estimators=8, random_state=0, **options).fit(X, y)
    assert model.score(X_test, y_test) > 0.65
    for rows, features in zip(model.estimators_samples_, model.estimators_features_, strict=True):
        assert rows.max() < len(y)
        assert features is None or features.max() < X.shape[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_estimators": 0}, "n_estimators"),
        ({"max_features": 0}, "max_features"),
        ({"max_features": 99}, "max_features"),
        ({"max_samples": 2.0}, "max_samples"),
        ({"bootstrap": False, "oob_score": True}, "oob_score"),
    ],
)
def test_bagging_names_what_does_not_fit(options, message):
    with pytest.raises(ValueError, match=message):
        BaggingClassifier(**options).fit(*load_iris(return_X_y=True))


def test_stacking_and_voting_take_ours():
    X, X_test, y, y_test = split(load_breast_cancer)
    models = [
        ("boosting", GradientBoostingClassifier(n_estimators=10)),
        ("forest", RandomForestClassifier(n_estimators=10)),
    ]
    for model in (StackingClassifier(models), VotingClassifier(models, voting="soft")):
        assert model.fit(X, y).score(X_test, y_test) > 0.93
    X, X_test, y, y_test = split(load_diabetes)
    stack = StackingRegressor([("boosting", GradientBoostingRegressor(n_estimators=10))], Ridge())
    assert stack.fit(X, y).score(X_test, y_test) > 0.2


@pytest.mark.parametrize("load", [load_breast_cancer, load_wine, load_iris])
def test_bagging_tells_classes_apart_as_well_as_scikit_learns(load):
    X, y = load(return_X_y=True)
    ours, theirs = (
        cross_val_score(kind(n_estimators=20, random_state=0), X, y, cv=5).mean()
        for kind in (BaggingClassifier, sk.BaggingClassifier)
    )
    assert ours >= theirs - 0.02


def test_numbers_are_met_as_well_as_by_scikit_learn():
    X, X_test, y, y_test = split(load_diabetes)
    for kind in (BaggingRegressor, AdaBoostRegressor):
        ours = kind(n_estimators=30, random_state=0).fit(X, y)
        theirs = getattr(sk, kind.__name__)(n_estimators=30, random_state=0).fit(X, y)
        assert ours.score(X_test, y_test) >= theirs.score(X_test, y_test) - 0.04


@pytest.mark.parametrize("load", [load_breast_cancer, load_wine, load_digits])
def test_adaboost_over_our_trees_is_as_good_as_scikit_learns(load):
    X, X_test, y, y_test = split(load)
    ours = AdaBoostClassifier(
        DecisionTreeClassifier(max_depth=3), n_estimators=30, random_state=0
    ).fit(X, y)
    theirs = sk.AdaBoostClassifier(PeerTree(max_depth=3), n_estimators=30, random_state=0)
    assert ours.score(X_test, y_test) >= theirs.fit(X, y).score(X_test, y_test) - 0.03
