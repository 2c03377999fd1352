"""Input that makes no sense, or hardly any, to every estimator: an error that says so, or the
documented behaviour; and Ctrl-C."""

import signal

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

from pyllm import ensemble
from pyllm.ensemble import averaging

KINDS = [
    ensemble.GradientBoostingClassifier,
    ensemble.GradientBoostingRegressor,
    ensemble.GradientBoostingRanker,
    ensemble.RandomForestClassifier,
    ensemble.RandomForestRegressor,
    ensemble.ExtraTreesClassifier,
    ensemble.ExtraTreesRegressor,
    ensemble.DecisionTreeClassifier,
    ensemble.DecisionTreeRegressor,
    ensemble.AdaBoostClassifier,
    ensemble.AdaBoostRegressor,
    ensemble.BaggingClassifier,
    ensemble.BaggingRegressor,
]
EACH = pytest.mark.parametrize("kind", KINDS, ids=[k.__name__ for k in KINDS])
N = 60
X = np.random.default_rng(0).normal(size=(N, 3))


def target(kind):
    return X[:, 0] if kind.__name__.endswith("Regressor") else (X[:, 0] > 0).astype(float)


def make(kind, **options):
    model = kind(**options)
    if "n_estimators" in model.get_params():
        model.set_params(n_estimators=4)
    if "random_state" in model.get_params():
        model.set_params(random_state=0)
    return model


def fit(kind, rows, y, weight=None):
    if kind is not ensemble.GradientBoostingRanker:
        return make(kind).fit(rows, y, weight)
    queries = None if weight is None else np.asarray(weight)[:1]  # all rows are one query
    return make(kind).fit(rows, y, query_weight=queries)


def predicts(model, rows):
    """It does, and all of it is finite; probabilities sum to 1."""
    predicted = np.asarray(model.predict(rows), np.float64)
    assert predicted.shape == (len(rows),)
    assert np.isfinite(predicted).all()
    if hasattr(model, "predict_proba"):
        np.testing.assert_allclose(model.predict_proba(rows).sum(1), 1.0)
    return predicted


@EACH
@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.where(np.arange(N) == 3, np.nan, 1.0), "Input y contains NaN"),
        (np.where(np.arange(N) == 3, np.inf, 1.0), "Input y contains infinity"),
        (np.where(np.arange(N) == 3, -np.inf, 1.0), "Input y contains infinity"),
        (None, "y: requires y to be passed"),
        (np.zeros((N, 2, 2)), "dim 3"),
        (np.zeros(N - 1), "inconsistent numbers of samples"),
        (np.zeros(0), r"inconsistent numbers of samples|0 sample\(s\)"),
    ],
)
def test_targets(kind, y, message):
    with pytest.raises(ValueError, match=message):
        make(kind).fit(X, y)


@EACH
@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (X[:, 0], "1D array"),
        (X[np.newaxis], "dim 3"),
        (X[:, :0], r"0 feature\(s\)"),
        (X + 1j, "Complex data"),
        (np.array([["a", "b", "c"]] * N, object), "could not convert|holds no numbers"),
    ],
)
def test_rows(kind, rows, message):
    with pytest.raises(ValueError, match=message):
        make(kind).fit(rows, target(kind))


@EACH
def test_no_rows(kind):
    with pytest.raises(ValueError, match=r"0 sample\(s\)"):
        make(kind).fit(X[:0], target(kind)[:0])
    model = fit(kind, X, target(kind))
    with pytest.raises(ValueError, match=r"0 sample\(s\)"):
        model.predict(X[:0])
    with pytest.raises(ValueError, match="3 features"):
        model.predict(X[:, :2])
    with pytest.raises(NotFittedError, match="not fitted"):
        make(kind).predict(X)


@EACH
@pytest.mark.parametrize(
    "rows",
    [
        X * 0,
        np.full_like(X, np.nan),
        np.where(X > 0.5, np.inf, np.where(X < -0.5, -np.inf, X)),
        np.where(X > 0.5, np.nan, X),
        X * 1e300,
        X * 1e-300,
        (X * 2.0**60).astype(np.int64),
        X > 0,
        X.astype(object),
        X.astype(np.float16),
        np.asfortranarray(X)[::-1],
        X.astype(">f8"),
    ],
    ids=lambda rows: f"{rows.dtype}-{np.asarray(rows).ravel()[0]}",
)
def test_odd_rows_are_fitted(kind, rows):
    predicts(fit(kind, rows, target(kind)), rows)


@EACH
def test_constant_rows_and_targets(kind):
    one_class = kind is ensemble.GradientBoostingClassifier
    y = target(kind)
    alike = predicts(fit(kind, X * 0, y), X)
    assert len(np.unique(alike)) == 1
    if one_class:
        with pytest.raises(ValueError, match="y: expected at least two classes"):
            fit(kind, X, np.ones(N))
        with pytest.raises(ValueError, match="y: expected at least two classes"):
            fit(kind, X[:1], y[:1])
        return
    constant = predicts(fit(kind, X, np.full(N, 3.0)), X)
    ranker = kind is ensemble.GradientBoostingRanker
    np.testing.assert_allclose(constant, 0.0 if ranker else 3.0, rtol=1e-6)
    single = predicts(fit(kind, X[:1], y[:1]), X)
    np.testing.assert_allclose(single, 0.0 if ranker else y[0], rtol=1e-6)


@EACH
def test_two_rows(kind):
    predicts(fit(kind, X[:2], np.array([0.0, 1.0])), X)


@EACH
@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (np.zeros(N), "zero|not all 0"),
        (-np.ones(N), "[Nn]egative|none below 0"),
        (np.full(N, np.nan), "weight contains NaN"),
        (np.full(N, np.inf), "weight contains infinity"),
    ],
)
def test_weights(kind, weight, message):
    with pytest.raises(ValueError, match=message):
        fit(kind, X, target(kind), weight)


@EACH
@pytest.mark.parametrize("scale", [1e-300, 1e-30, 1e30, 1e300])
def test_only_shares_of_weights_count_but_in_boosting(kind, scale):
    y, weight = target(kind), np.full(N, scale)
    if kind.__name__.startswith("GradientBoosting"):
        if scale > 1:
            with pytest.raises(ValueError, match=r"weight: expected values up to 1e\+15"):
                fit(kind, X, y, weight)
        else:
            predicts(fit(kind, X, y, weight), X)
        return
    agree = np.corrcoef(predicts(fit(kind, X, y, weight), X), y)[0, 1]
    assert agree > 0.75


@EACH
def test_weights_that_leave_one_class(kind):
    y = target(kind)
    weight = (X[:, 0] > 0).astype(float)
    if kind is ensemble.GradientBoostingClassifier:
        with pytest.raises(ValueError, match="two classes with positive weight"):
            fit(kind, X, y, weight)
    elif kind is not ensemble.GradientBoostingRanker:
        assert (predicts(fit(kind, X, y, weight), X) > 0).all()


TREES = [k for k in KINDS if "Ada" not in k.__name__ and "Bagging" not in k.__name__]


@pytest.mark.parametrize("kind", TREES)
def test_masked_values_are_missing(kind):
    masked, missing = np.ma.masked_array(X, X > 0.5), np.where(X > 0.5, np.nan, X)
    y = target(kind)
    model = fit(kind, masked, y)
    assert model.forest_ == fit(kind, missing, y).forest_
    np.testing.assert_array_equal(model.predict(masked), model.predict(missing))


@pytest.mark.parametrize("kind", TREES)
def test_categories_that_fitting_did_not_see_are_missing(kind):
    rows = X.copy()
    rows[:, 1] = np.arange(N) % 7
    model = make(kind).set_params(categorical_features=[1]).fit(rows, target(kind))
    unseen, missing = rows.copy(), rows.copy()
    unseen[:, 1], missing[:, 1] = 99.0, np.nan
    np.testing.assert_array_equal(model.predict(unseen), model.predict(missing))


def test_more_rows_than_row_numbers():
    from pyllm.trees import Dataset

    rows = np.broadcast_to(np.float32(0), (2**31, 1))
    with pytest.raises(ValueError, match=r"X: expected fewer than 2\*\*31 rows, got 2147483648"):
        Dataset(rows)


class CtrlC:
    """Real Ctrl-C in the third call of a function."""

    def __init__(self, function):
        self.function, self.calls = function, 0

    def __call__(self, *args, **options):
        self.calls += 1
        if self.calls == 3:
            signal.raise_signal(signal.SIGINT)
        return self.function(*args, **options)


@pytest.mark.parametrize(
    "kind",
    [
        ensemble.AdaBoostClassifier,
        ensemble.AdaBoostRegressor,
        ensemble.BaggingClassifier,
        ensemble.BaggingRegressor,
    ],
)
def test_ctrl_c_leaves_the_trees_so_far(kind, monkeypatch, threads):
    threads(1)
    monkeypatch.setattr(averaging, "grow_averaged", CtrlC(averaging.grow_averaged))
    model = make(kind).set_params(n_estimators=50)
    if "oob_score" in model.get_params():
        model.set_params(oob_score=True)
    y = target(kind)
    y[::7] = 1 - y[::7]  # no stump tells all of them apart
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, y)
    assert len(model.estimators_) == 2
    predicts(model, X)


@pytest.mark.parametrize("oob_score", [False, True])
@pytest.mark.parametrize("count", [1, 3])
def test_ctrl_c_within_a_forest_leaves_the_trees_so_far(oob_score, count, monkeypatch, threads):
    threads(count)
    told = []

    def tell(progress, before, done):
        told.append(before + done)
        if before + done >= 5:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(averaging, "_tell", tell)
    model = ensemble.RandomForestClassifier(n_estimators=5000, random_state=0, verbose=True)
    model.set_params(oob_score=oob_score, max_depth=2)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, target(ensemble.RandomForestClassifier))
    assert 5 <= told[-1] <= len(model.forest_) < 5000
    predicts(model, X)
    whole = ensemble.RandomForestClassifier(n_estimators=len(model.forest_), random_state=0)
    whole.set_params(max_depth=2).fit(X, target(ensemble.RandomForestClassifier))
    assert whole.forest_ == model.forest_


@pytest.mark.parametrize("kind", [ensemble.RandomForestClassifier, ensemble.BaggingRegressor])
def test_ctrl_c_before_the_first_tree_leaves_nothing(kind, monkeypatch, threads):
    threads(1)
    interrupt = CtrlC(averaging.grow_averaged)
    interrupt.calls = 3
    monkeypatch.setattr(averaging, "grow_averaged", interrupt)
    model = make(kind)
    model.fit(X[:, :2], target(kind) + 5)  # what is there of another fit must not be mixed with
    interrupt.calls = 2
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, target(kind))
    with pytest.raises(NotFittedError):
        model.predict(X)
