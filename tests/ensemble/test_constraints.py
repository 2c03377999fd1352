"""Monotone and interaction constraints by number and by name."""

import numpy as np
import pytest
from sklearn.base import clone

from pyllm.ensemble import (
    DecisionTreeRegressor,
    ExtraTreesRegressor,
    GradientBoostingRegressor,
    RandomForestRegressor,
)
from pyllm.ensemble.constraints import interaction_sets, monotone_signs

NAMES = ["a", "b", "c"]


def paths(forest):
    """The sets of features between each root and leaf."""
    for tree in forest.trees():
        stack = [(0, frozenset())]
        while stack:
            node, used = stack.pop()
            if tree.feature[node] < 0:
                yield used
                continue
            used = used | {int(tree.feature[node])}
            stack += [(tree.left[node], used), (tree.right[node], used)]


def test_names_stand_for_numbers():
    assert monotone_signs({"b": -1}, NAMES) == [0, -1, 0]
    assert monotone_signs([1, 0, 0], None) == [1, 0, 0]
    assert interaction_sets([{"a", "c"}, [1]], 3, NAMES) == [{0, 2}, {1}]
    assert interaction_sets("pairwise", 3, None) == [{0, 1}, {0, 2}, {1, 2}]
    assert interaction_sets("no_interactions", 3, None) == [{0}, {1}, {2}]
    assert interaction_sets(None, 3, NAMES) is monotone_signs(None, NAMES) is None


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: monotone_signs({"a": 1}, None), ValueError, "monotonic_cst: names need X"),
        (lambda: monotone_signs({"d": 1}, NAMES), ValueError, "X has no feature 'd'"),
        (lambda: interaction_sets([{"a"}], 3, None), ValueError, "names need X"),
        (lambda: interaction_sets([{"d"}], 3, NAMES), ValueError, "no feature 'd'"),
        (lambda: interaction_sets("all", 3, NAMES), ValueError, "'pairwise' or"),
        (lambda: interaction_sets(["ab"], 3, NAMES), TypeError, "expected a set"),
        (lambda: interaction_sets([3], 3, NAMES), TypeError, "expected a set"),
    ],
)
def test_what_is_refused(call, kind, message):
    with pytest.raises(kind, match=message):
        call()


@pytest.mark.parametrize(("word", "most"), [("no_interactions", 1), ("pairwise", 2)])
def test_words_bound_what_meets(word, most):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 4))
    y = X[:, 0] * X[:, 1] * X[:, 2] + X[:, 3]
    model = GradientBoostingRegressor(n_estimators=10, interaction_cst=word).fit(X, y)
    assert max(len(used) for used in paths(model.forest_)) == most


def test_tables_bring_the_names():
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    X = pandas.DataFrame(rng.normal(size=(300, 3)), columns=NAMES)
    y = X["a"] + rng.normal(size=300)
    boosted = GradientBoostingRegressor(
        n_estimators=10, interaction_cst=[{"a", "b"}, {"c"}], monotonic_cst={"a": 1}
    ).fit(X, y)
    assert all(used <= {0, 1} or used <= {2} for used in paths(boosted.forest_))
    assert boosted.forest_.feature_names == NAMES
    assert "a <=" in boosted.forest_.dump(0)
    grid = np.zeros((50, 3))
    grid[:, 0] = np.linspace(-3, 3, 50)
    grid = pandas.DataFrame(grid, columns=NAMES)
    for model in (
        boosted,
        RandomForestRegressor(n_estimators=5, monotonic_cst={"a": 1}).fit(X, y),
        DecisionTreeRegressor(monotonic_cst={"a": 1}).fit(X, y),
    ):
        assert (np.diff(model.predict(grid)) >= -1e-12).all()


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(
    "model",
    [
        GradientBoostingRegressor(n_estimators=15, loss="absolute_error"),
        GradientBoostingRegressor(n_estimators=15, loss="quantile@0.8", learning_rate=0.5),
        GradientBoostingRegressor(n_estimators=15, first_order=True, loss="huber"),
        GradientBoostingRegressor(n_estimators=15),
        RandomForestRegressor(n_estimators=5, random_state=0),
        RandomForestRegressor(n_estimators=5, random_state=0, ccp_alpha=0.01),
        ExtraTreesRegressor(n_estimators=5, random_state=0),
        DecisionTreeRegressor(),
    ],
)
def test_predictions_are_monotone_whatever_finds_the_leaves(model, sign):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 3))
    y = sign * np.sin(2 * X[:, 0]) + X[:, 1] + rng.normal(size=400)
    model = clone(model).set_params(monotonic_cst=[sign, 0, 0]).fit(X, y)

    def check():
        rows = np.repeat(X[:30], 40, axis=0)
        rows[:, 0] = np.tile(np.linspace(-3, 3, 40), 30)
        steps = sign * np.diff(model.predict(rows).reshape(30, 40), axis=1)
        assert steps.min() >= -1e-12
        assert steps.max() > 0.01

    check()
    if hasattr(model, "refit"):
        model.refit(X, y[::-1] + sign * X[:, 0])
        check()
