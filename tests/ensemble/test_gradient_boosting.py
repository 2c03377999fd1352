"""Gradient boosting as an estimator: accuracy, fit options, stages, persistence, bad input."""

import pickle

import joblib
import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_wine
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.metrics import log_loss, mean_pinball_loss, roc_auc_score
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pyllm.ensemble import (
    GradientBoostingClassifier,
    GradientBoostingRanker,
    GradientBoostingRegressor,
)
from pyllm.trees.losses import make_objective
from pyllm.trees.watch import Callback


def split(load, seed=0):
    X, y = load(return_X_y=True)
    return train_test_split(X, y, random_state=seed)


@pytest.mark.parametrize("load", [load_breast_cancer, load_wine, load_iris])
def test_classes_are_told_apart_as_well_as_by_scikit_learn(load):
    X, X_test, y, y_test = split(load)
    ours = GradientBoostingClassifier(n_estimators=60, random_state=0).fit(X, y)
    theirs = HistGradientBoostingClassifier(max_iter=60, random_state=0).fit(X, y)
    assert ours.score(X_test, y_test) >= theirs.score(X_test, y_test) - 0.02
    loss = log_loss(y_test, ours.predict_proba(X_test))
    assert loss <= log_loss(y_test, theirs.predict_proba(X_test)) + 0.05


def test_ten_classes():
    X, X_test, y, y_test = split(load_digits)
    model = GradientBoostingClassifier(n_estimators=40, random_state=0).fit(X, y)
    assert model.score(X_test, y_test) > 0.93
    assert log_loss(y_test, model.predict_proba(X_test)) < 0.2


@pytest.mark.parametrize("loss", ["squared_error", "absolute_error", "poisson", "gamma"])
def test_targets_are_met_as_well_as_by_scikit_learn(loss):
    X, X_test, y, y_test = split(load_diabetes)
    ours = GradientBoostingRegressor(loss=loss, n_estimators=40, random_state=0).fit(X, y)
    theirs = HistGradientBoostingRegressor(loss=loss, max_iter=40, random_state=0).fit(X, y)
    assert ours.score(X_test, y_test) >= theirs.score(X_test, y_test) - 0.05


@pytest.mark.parametrize("level", [0.1, 0.5, 0.9])
def test_quantiles_cover_their_share(level):
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (3000, 3))
    y = X[:, 0] + (1 + X[:, 1]) * rng.normal(size=3000)
    X, X_test, y, y_test = train_test_split(X, y, random_state=0)
    model = GradientBoostingRegressor(loss=f"quantile@{level}", n_estimators=60).fit(X, y)
    constant = np.full(len(y_test), np.quantile(y, level))
    assert abs(np.mean(y_test <= model.predict(X_test)) - level) < 0.07
    ours = mean_pinball_loss(y_test, model.predict(X_test), alpha=level)
    assert ours < 0.95 * mean_pinball_loss(y_test, constant, alpha=level)


@pytest.mark.parametrize("multi_output", ["per_output", "vector"])
def test_several_targets(multi_output):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 4))
    Y = np.column_stack([X[:, 0] + X[:, 1], X[:, 0] - X[:, 2] ** 2])
    model = GradientBoostingRegressor(multi_output=multi_output, random_state=0).fit(X, Y)
    assert model.predict(X).shape == (500, 2)
    assert model.score(X, Y) > 0.9
    assert model.forest_.n_trees == (100 if multi_output == "vector" else 200)


@pytest.mark.parametrize(
    "options",
    [
        {"loss": "one_vs_all"},
        {"multi_output": "vector"},
        {"sampling": "goss"},
        {"booster": "dart"},
        {"first_order": True},
        {"subsample": 0.5},
        {"growth": "depthwise", "max_depth": 4, "max_leaf_nodes": None},
        {"class_weight": "balanced"},
        {"learning_rate": [0.1] * 15 + [0.05] * 25},
        {"max_bin": 1000},
        {"loss": make_objective("softmax", n_classes=3)},
    ],
)
def test_options_still_tell_classes_apart(options):
    X, X_test, y, y_test = split(load_wine)
    model = GradientBoostingClassifier(n_estimators=40, random_state=0, **options).fit(X, y)
    assert model.score(X_test, y_test) > 0.9
    np.testing.assert_allclose(model.predict_proba(X_test).sum(1), 1.0)


def test_labels_may_be_anything():
    X, y = load_iris(return_X_y=True)
    names = np.array(["c", "a", "b"])[y]
    model = GradientBoostingClassifier(n_estimators=5).fit(X, names)
    assert model.classes_.tolist() == ["a", "b", "c"]
    assert (model.predict(X) == names).mean() > 0.9


def test_class_weights_are_sample_weights():
    X, y = load_breast_cancer(return_X_y=True)
    by_class = GradientBoostingClassifier(n_estimators=5, class_weight={0: 3.0, 1: 1.0}).fit(X, y)
    by_row = GradientBoostingClassifier(n_estimators=5).fit(X, y, np.where(y == 0, 3.0, 1.0))
    assert by_class.forest_ == by_row.forest_


def test_a_loss_and_a_metric_of_ones_own():
    X, X_test, y, y_test = split(load_breast_cancer)

    def logistic(y_true, margin):
        p = 1 / (1 + np.exp(-margin))
        return p - y_true, p * (1 - p)

    def brier(y_true, y_pred):
        return np.mean((y_true - y_pred) ** 2)

    model = GradientBoostingClassifier(loss=logistic, metric=[brier, "auc"], random_state=0)
    model.fit(X, y, eval_set=[(X_test, y_test)])
    history = model.evals_result_["valid_0"]
    assert history["brier"][-1] < 0.06
    assert history["auc"][-1] == pytest.approx(
        roc_auc_score(y_test, model.decision_function(X_test))
    )
    assert model.score(X_test, y_test) > 0.93


def test_early_stopping_on_an_eval_set():
    X, X_test, y, y_test = split(load_diabetes)
    model = GradientBoostingRegressor(n_estimators=500, early_stopping_rounds=10, metric="mae")
    model.fit(X, y, eval_set={"train": (X, y), "test": (X_test, y_test)})
    values = model.evals_result_["test"]["mae"]
    assert model.n_iter_ == int(np.argmin(values)) + 1 == len(values) - 10
    assert model.forest_.n_trees == model.n_iter_
    np.testing.assert_allclose(np.mean(np.abs(model.predict(X_test) - y_test)), min(values))


def test_early_stopping_holds_rows_out_by_itself():
    X, y = load_breast_cancer(return_X_y=True)
    model = GradientBoostingClassifier(
        n_estimators=500, early_stopping_rounds=5, random_state=0
    ).fit(X, y)
    assert model.n_iter_ < 500
    assert list(model.evals_result_) == ["validation"]


def test_stages_lead_to_the_prediction():
    X, y = load_iris(return_X_y=True)
    model = GradientBoostingClassifier(n_estimators=7).fit(X, y)
    *_, last = model.staged_predict_proba(X)
    np.testing.assert_allclose(last, model.predict_proba(X))
    assert len(list(model.staged_predict(X))) == 7
    assert len(list(model.staged_decision_function(X))) == 7
    regressor = GradientBoostingRegressor(n_estimators=6).fit(X, y)
    stages = list(regressor.staged_predict(X))
    assert len(stages) == 6
    np.testing.assert_allclose(stages[-1], regressor.predict(X))


def test_warm_start_goes_on():
    X, y = load_diabetes(return_X_y=True)
    whole = GradientBoostingRegressor(n_estimators=20, random_state=0).fit(X, y)
    parts = GradientBoostingRegressor(n_estimators=8, random_state=0, warm_start=True).fit(X, y)
    parts.set_params(n_estimators=20).fit(X, y)
    assert parts.n_iter_ == 20
    np.testing.assert_allclose(parts.predict(X), whole.predict(X), rtol=1e-5)
    with pytest.raises(ValueError, match="n_estimators"):
        parts.set_params(n_estimators=5).fit(X, y)


def test_refitting_keeps_the_splits_and_learns_the_leaves():
    X, y = load_diabetes(return_X_y=True)
    model = GradientBoostingRegressor(n_estimators=30, random_state=0).fit(X[:200], y[:200])
    feature, before = model.forest_.feature, model.score(X[200:], y[200:])
    model.refit(X, y)
    assert (model.forest_.feature == feature).all()
    assert model.score(X[200:], y[200:]) > before
    X, y = load_iris(return_X_y=True)
    classes = GradientBoostingClassifier(n_estimators=10).fit(X, y)
    p = classes.predict_proba(X)
    np.testing.assert_allclose(classes.refit(X, y).predict_proba(X), p, atol=1e-4)
    with pytest.raises(ValueError, match=r"eval_set"):
        classes.refit(X, y + 5)


def test_a_base_margin_is_added():
    X, y = load_diabetes(return_X_y=True)
    base = np.full(len(y), 100.0)
    model = GradientBoostingRegressor(n_estimators=30).fit(X, y, base_margin=base)
    without = model.predict(X)
    np.testing.assert_allclose(model.predict(X, base_margin=base), without + 100)
    assert model.forest_.base_score.tolist() == [0.0]


def test_monotone_predictions():
    X, y = load_diabetes(return_X_y=True)
    model = GradientBoostingRegressor(n_estimators=20, monotonic_cst=[0, 0, 1] + [0] * 7)
    model.fit(X, y)
    grid = np.repeat(X[:20], 50, axis=0)
    grid[:, 2] = np.tile(np.linspace(-0.1, 0.2, 50), 20)
    assert (np.diff(model.predict(grid).reshape(20, 50), axis=1) >= -1e-9).all()


@pytest.mark.parametrize("form", [sparse.csr_matrix, sparse.csc_array])
def test_sparse_rows_are_the_dense_ones(form):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 10)) * (rng.random((300, 10)) < 0.3)
    y = X[:, 0] + X[:, 1]
    dense = GradientBoostingRegressor(n_estimators=10).fit(X, y)
    thin = GradientBoostingRegressor(n_estimators=10).fit(form(X), y)
    assert dense.forest_ == thin.forest_
    np.testing.assert_array_equal(dense.predict(X), thin.predict(form(X)))


@pytest.mark.parametrize("copy", [lambda m: pickle.loads(pickle.dumps(m)), "joblib"])
def test_copies_predict_the_same(copy, tmp_path):
    X, y = load_iris(return_X_y=True)
    model = GradientBoostingClassifier(n_estimators=5).fit(X, y)
    if copy == "joblib":
        joblib.dump(model, tmp_path / "model")
        again = joblib.load(tmp_path / "model")
    else:
        again = copy(model)
    assert (again.predict_proba(X) == model.predict_proba(X)).all()
    assert clone(model).get_params() == model.get_params()


def test_pipelines_and_searches():
    X, y = load_breast_cancer(return_X_y=True)
    pipeline = make_pipeline(StandardScaler(), GradientBoostingClassifier(n_estimators=10))
    assert cross_val_score(pipeline, X, y, cv=3).mean() > 0.9
    search = GridSearchCV(
        GradientBoostingRegressor(n_estimators=5), {"loss": ["squared_error", "quantile@0.5"]}, cv=2
    ).fit(X, y)
    assert search.best_params_["loss"] == "squared_error"


def test_importances_find_what_matters():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 5))
    model = GradientBoostingRegressor(n_estimators=20).fit(X, X[:, 3] ** 2)
    assert model.feature_importances_.argmax() == 3
    assert model.feature_importances_.sum() == pytest.approx(1.0)


def test_the_same_seed_gives_the_same_model_with_any_n_jobs():
    X, y = load_digits(return_X_y=True)
    models = [
        GradientBoostingClassifier(
            n_estimators=3, subsample=0.5, random_state=7, n_jobs=n_jobs
        ).fit(X, y)
        for n_jobs in (1, 2, None)
    ]
    assert models[0].forest_ == models[1].forest_ == models[2].forest_
    other = GradientBoostingClassifier(n_estimators=3, subsample=0.5, random_state=8).fit(X, y)
    assert other.forest_ != models[0].forest_


class Interrupt(Callback):
    def on_round(self, booster):
        if booster.n_rounds == 3:
            raise KeyboardInterrupt


def test_ctrl_c_leaves_a_usable_model():
    X, y = load_iris(return_X_y=True)
    model = GradientBoostingClassifier(callbacks=[Interrupt()])
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, y)
    assert model.n_iter_ == 3
    assert model.predict(X).shape == (150,)


class TestRanker:
    def data(self, rng, queries=60, rows=20):
        X = rng.normal(size=(queries * rows, 5))
        score = X[:, 0] + X[:, 1] * X[:, 2] + 0.3 * rng.normal(size=len(X))
        return X, np.digitize(score, [0.5, 1.5]), np.full(queries, rows)

    @pytest.mark.parametrize("loss", [None, "lambdarank@5", "rank_map"])
    def test_it_orders_queries(self, loss, rng):
        X, y, group = self.data(rng)
        X_test, y_test, group_test = self.data(rng)
        ranker = GradientBoostingRanker(loss=loss, n_estimators=40, random_state=0)
        untrained = ranker.fit(X, y * 0, group=group).score(X_test, y_test, group=group_test)
        ranker.fit(X, y, group=group, eval_set=[(X_test, y_test)], eval_group=[group_test])
        assert ranker.score(X_test, y_test, group=group_test) > untrained + 0.2
        assert ranker.predict(X_test).shape == y_test.shape
        assert len(next(iter(ranker.evals_result_["valid_0"].values()))) == 40

    def test_qid_is_group_in_other_words(self, rng):
        X, y, group = self.data(rng, 10)
        a = GradientBoostingRanker(n_estimators=3).fit(X, y, group=group)
        b = GradientBoostingRanker(n_estimators=3).fit(X, y, qid=np.repeat(np.arange(10), group))
        assert a.forest_ == b.forest_

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"group": [3, 3]}, "group: expected sizes"),
            ({"group": [200], "qid": np.zeros(200)}, "group or qid"),
            ({"qid": np.arange(200) % 2}, "next to each other"),
            ({"qid": np.zeros(3)}, "qid: expected 200"),
            ({"query_weight": [1.0, 2.0]}, "query_weight"),
            ({"query_weight": [-1.0]}, "query_weight"),
        ],
    )
    def test_queries_that_do_not_fit_are_named(self, rng, options, message):
        X, y, _ = self.data(rng, 10)
        with pytest.raises(ValueError, match=message):
            GradientBoostingRanker(n_estimators=2).fit(X, y, **options)


class TestBadInput:
    X = np.arange(40.0).reshape(20, 2)
    y = np.arange(20) % 2

    def test_one_class(self):
        with pytest.raises(ValueError, match="one class"):
            GradientBoostingClassifier().fit(self.X, np.ones(20))
        with pytest.raises(ValueError, match="one class"):
            GradientBoostingClassifier().fit(self.X, self.y, self.y)

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_y_that_is_not_finite(self, value):
        y = np.where(np.arange(20) == 3, value, 1.0)
        with pytest.raises(ValueError, match="y contains"):
            GradientBoostingRegressor().fit(self.X, y)

    def test_shapes(self):
        with pytest.raises(ValueError, match="inconsistent"):
            GradientBoostingRegressor().fit(self.X, self.y[:5])
        with pytest.raises(ValueError, match="0 sample"):
            GradientBoostingRegressor().fit(self.X[:0], self.y[:0])
        model = GradientBoostingRegressor(n_estimators=2).fit(self.X, self.y)
        with pytest.raises(ValueError, match="features"):
            model.predict(self.X[:, :1])

    def test_weights(self):
        for weight, message in (
            (np.zeros(20), "zero"),
            (-np.ones(20), "[Nn]egative"),
            (np.full(20, np.nan), "NaN"),
            (np.ones(3), "shape"),
        ):
            with pytest.raises(ValueError, match=message):
                GradientBoostingRegressor().fit(self.X, self.y, weight)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"n_estimators": 0}, "n_estimators"),
            ({"learning_rate": -1}, "learning_rate"),
            ({"loss": "lambdarank"}, "loss"),
            ({"loss": "hinge"}, "loss"),
            ({"metric": "hinge"}, "metric"),
            ({"max_bin": 1}, "max_bin"),
            ({"reg_lambda": -1.0}, "reg_lambda"),
            ({"class_weight": "balanced"}, "class_weight"),
            ({"monotonic_cst": [1]}, "monotone"),
            ({"monotonic_cst": {"a": 1}}, "monotonic_cst: names need"),
            ({"categorical_features": [7]}, "categorical_features"),
            ({"early_stopping_rounds": 0}, "early_stopping_rounds"),
            ({"validation_fraction": 2.0, "early_stopping_rounds": 3}, "validation_fraction"),
        ],
    )
    def test_options(self, options, message):
        with pytest.raises(ValueError, match=message):
            GradientBoostingRegressor(**options).fit(self.X, self.y)

    def test_unknown_classes_in_an_eval_set(self):
        with pytest.raises(ValueError, match="eval_set"):
            GradientBoostingClassifier().fit(self.X, self.y, eval_set=[(self.X, self.y + 1)])

    def test_what_is_odd_but_fine(self):
        one = GradientBoostingRegressor(n_estimators=3).fit([[1.0]], [5.0])
        assert one.predict([[2.0]]) == [5.0]
        constant = GradientBoostingRegressor(n_estimators=3).fit(np.ones((20, 2)), self.y)
        np.testing.assert_allclose(constant.predict(np.ones((1, 2))), 0.5)
        same = GradientBoostingRegressor(n_estimators=3).fit(self.X, np.full(20, 7.0))
        np.testing.assert_allclose(same.predict(self.X), 7.0)
        infinite = self.X.copy()
        infinite[:10, 0] = -np.inf
        model = GradientBoostingRegressor(n_estimators=20, min_samples_leaf=1)
        model.fit(infinite[:, :1], infinite[:, 0] == -np.inf)
        np.testing.assert_allclose(model.predict([[-np.inf], [30.0]]), [1, 0], atol=0.2)
        missing = np.where(np.arange(20)[:, np.newaxis] < 10, np.nan, self.X)
        model.fit(missing, np.arange(20) < 10)
        np.testing.assert_allclose(model.predict([[np.nan] * 2, [30.0] * 2]), [1, 0], atol=0.2)
