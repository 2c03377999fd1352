"""What estimators say about themselves: SHAP values, importances, partial dependence, pictures."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.ensemble import RandomForestRegressor as PeerForest
from sklearn.exceptions import NotFittedError
from sklearn.inspection import PartialDependenceDisplay, partial_dependence
from sklearn.tree import DecisionTreeRegressor as PeerTree

from pyllm.ensemble import (
    DecisionTreeRegressor,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRanker,
    GradientBoostingRegressor,
    RandomForestClassifier,
)


def test_shap_values_and_the_expected_value_make_the_margin():
    X, y = load_breast_cancer(return_X_y=True)
    model = GradientBoostingClassifier(n_estimators=10).fit(X, y)
    values = model.shap_values(X[:20])
    assert values.shape == (20, 30)
    margin = model.decision_function(X[:20])
    np.testing.assert_allclose(values.sum(1) + model.expected_value, margin)
    pairs = model.shap_interaction_values(X[:3])
    np.testing.assert_allclose(pairs.sum(2), values[:3], atol=1e-9)


def test_several_outputs_come_last():
    X, y = load_iris(return_X_y=True)
    model = RandomForestClassifier(n_estimators=10, random_state=0).fit(X, y)
    values = model.shap_values(X)
    assert values.shape == (150, 4, 3)
    assert model.shap_interaction_values(X[:2]).shape == (2, 4, 4, 3)
    np.testing.assert_allclose(
        values.sum(1) + model.expected_value, model.predict_proba(X), atol=1e-9
    )


def test_importances_of_every_kind():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 5))
    y = X[:, 3] ** 2
    model = GradientBoostingRegressor(n_estimators=20).fit(X, y)
    for kind in ("split", "gain", "total_gain", "cover", "total_cover"):
        np.testing.assert_array_equal(model.importance(kind), model.forest_.importance(kind))
    gain = model.importance("total_gain")
    np.testing.assert_allclose(model.feature_importances_, gain / gain.sum())
    shuffled = model.importance("permutation", X, y, n_repeats=3, random_state=0)
    assert shuffled.argmax() == 3
    assert shuffled[3] > 1 > 10 * np.abs(np.delete(shuffled, 3)).max()
    with pytest.raises(ValueError, match="needs rows"):
        model.importance("permutation")
    with pytest.raises(ValueError, match="permutation only"):
        model.importance("gain", X, y)
    with pytest.raises(ValueError, match="kind: expected"):
        model.importance("weight")


def test_a_ranker_is_shuffled_too():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 3))
    grade = (X[:, 1] > 0).astype(int)
    group = [50] * 4
    model = GradientBoostingRanker(n_estimators=10).fit(X, grade, group=group)

    def ndcg(model, X, y):
        return model.score(X, y, group=group)

    assert model.importance("permutation", X, grade, scoring=ndcg, random_state=0).argmax() == 1


def test_partial_dependence_is_scikit_learns_recursion():
    """The same tree, so the same weighted traversal."""
    rng = np.random.default_rng(0)
    X = rng.integers(0, 20, (500, 4)).astype(float)
    y = X[:, 0] * X[:, 1] + rng.normal(size=500)
    ours = DecisionTreeRegressor(max_depth=4).fit(X, y)
    theirs = PeerTree(max_depth=4, random_state=0).fit(X, y)
    for features in ([0], [0, 1]):
        expected = partial_dependence(theirs, X, features, method="recursion")
        given = ours.partial_dependence(X, features, percentiles=(0.05, 0.95))
        np.testing.assert_allclose(given.average, expected["average"])
        for a, b in zip(given.grid_values, expected["grid_values"], strict=True):
            np.testing.assert_array_equal(a, b)


def test_partial_dependence_is_near_the_mean_over_rows():
    X, y = load_diabetes(return_X_y=True)
    model = GradientBoostingRegressor(n_estimators=30).fit(X, y)
    exact = model.partial_dependence(X, 2, grid_resolution=10)
    rows = partial_dependence(
        model, X, [2], custom_values={2: exact.grid_values[0]}, method="brute"
    )
    spread = np.ptp(rows["average"])
    np.testing.assert_allclose(exact.average, rows["average"], atol=0.25 * spread)
    peer = PeerForest(random_state=0).fit(X, y)
    assert (
        exact.average.shape == partial_dependence(peer, X, [2], grid_resolution=10)["average"].shape
    )


def test_grids():
    X, y = load_diabetes(return_X_y=True)
    model = ExtraTreesRegressor(n_estimators=3).fit(X, y)
    np.testing.assert_array_equal(
        model.partial_dependence(X, 1).grid_values[0], np.unique(X[:, 1])
    )  # two values
    custom = model.partial_dependence(X, [1, 2], custom_values={2: [0.0, 0.1]})
    assert custom.average.shape == (1, 2, 2)
    thin = model.partial_dependence(sparse.csr_array(X), 2)
    np.testing.assert_array_equal(thin.average, model.partial_dependence(X, 2).average)
    for options, message in (
        ({"grid_resolution": 1}, "grid_resolution"),
        ({"percentiles": (0.9, 0.1)}, "percentiles"),
        ({"custom_values": {2: []}}, "custom_values"),
        ({"custom_values": {"a": [1.0]}}, "no feature 'a'"),
    ):
        with pytest.raises(ValueError, match=message):
            model.partial_dependence(X, 2, **options)
    with pytest.raises(ValueError, match="features: expected 0 to 9"):
        model.partial_dependence(X, 10)
    with pytest.raises(ValueError, match="no finite values"):
        model.partial_dependence(np.full((2, 10), np.nan), 2)


def test_categories_are_the_grid():
    rng = np.random.default_rng(0)
    X = np.empty((300, 2), object)
    X[:, 0] = rng.choice(["red", "green", "blue"], 300)
    X[:, 1] = rng.normal(size=300)
    y = (X[:, 0] == "red") * 2.0
    model = GradientBoostingRegressor(n_estimators=30, categorical_features=[0]).fit(X, y)
    result = model.partial_dependence(X, 0)
    assert result.grid_values[0].tolist() == ["blue", "green", "red"]
    assert result.average[0].argmax() == 2
    assert np.ptp(result.average[0]) > 1.5
    one = model.partial_dependence(X, 0, custom_values={0: ["red"]})
    assert one.average[0] == result.average[0, 2]
    with pytest.raises(ValueError, match="no category 'pink'"):
        model.partial_dependence(X, 0, custom_values={0: ["pink"]})
    picture = model.plot_partial_dependence(X, [0, 1])
    assert len(picture.axes_[0, 0].patches) == 3


def test_scikit_learns_display_takes_the_estimators():
    X, y = load_iris(return_X_y=True)
    model = GradientBoostingClassifier(n_estimators=5).fit(X, y)
    display = PartialDependenceDisplay.from_estimator(
        model, X, [0, (1, 2)], target=1, grid_resolution=5
    )
    assert display.axes_.size == 2


def test_pictures(tmp_path):
    X, y = load_iris(return_X_y=True)
    model = GradientBoostingClassifier(n_estimators=8, learning_rate=0.5, early_stopping_rounds=2)
    model.set_params(n_estimators=60).fit(X[::2], y[::2], eval_set={"test": (X[1::2], y[1::2])})
    curve = model.plot_metrics()
    assert curve.lines[0].get_label() == "test"
    np.testing.assert_array_equal(
        curve.lines[0].get_ydata(), model.evals_result_["test"]["log_loss"]
    )
    assert curve.lines[1].get_xdata()[0] == model.n_iter_
    with pytest.raises(ValueError, match="metric: expected one of log_loss"):
        model.plot_metrics("auc")
    assert len(model.plot_importance(top=2).patches) == 2
    assert "f" in model.plot_tree(1).texts[0].get_text() + "f"
    picture = model.plot_partial_dependence(X, [0, (2, 3)], output=2, grid_resolution=6)
    picture.figure_.savefig(tmp_path / "dependence.png")
    assert (tmp_path / "dependence.png").stat().st_size > 5000
    plain = GradientBoostingClassifier(n_estimators=2).fit(X, y)
    with pytest.raises(ValueError, match="nothing was measured"):
        plain.plot_metrics()


def test_what_is_not_fitted_explains_nothing():
    model = GradientBoostingRegressor()
    for call in (
        lambda: model.shap_values([[0.0]]),
        lambda: model.expected_value,
        lambda: model.importance(),
        lambda: model.partial_dependence([[0.0]], 0),
        lambda: model.plot_tree(),
        lambda: model.plot_importance(),
        lambda: model.plot_metrics(),
        lambda: model.feature_importances_,
    ):
        with pytest.raises(NotFittedError):
            call()
