"""The boosting loop: what it keeps up to date, when it stops, DART, GOSS, warm starts, Ctrl-C."""

import numpy as np
import pytest

from pyllm import _cpu
from pyllm.trees.boost import Booster, EvalSet, boost
from pyllm.trees.boost_parameters import BoostParameters
from pyllm.trees.dataset import Dataset
from pyllm.trees.losses import make_objective
from pyllm.trees.metric import make_metric
from pyllm.trees.objective import Labels
from pyllm.trees.tree_parameters import TreeParameters
from pyllm.trees.watch import Callback, EarlyStopping

N = 400
TREE = TreeParameters(max_leaves=8, min_child_samples=5)


def data(rng, n=N, classes=None):
    X = rng.normal(size=(n, 5))
    X[rng.random(n) < 0.1, 0] = np.nan
    y = np.nan_to_num(X[:, 0]) + X[:, 1] ** 2 + 0.1 * rng.normal(size=n)
    if classes:
        y = np.digitize(y, np.quantile(y, np.arange(1, classes) / classes))
    return X, y


def make(rng, loss="squared_error", parameters=None, evaluate=True, weight=None, **options):
    classes = options.get("n_classes", 2 if loss == "log_loss" else None)
    X, y = data(rng, classes=classes)
    objective = make_objective(loss, **options)
    labels = objective.prepare(Labels(np.asarray(y, np.float64), weight))
    evals = []
    if evaluate:
        X2, y2 = data(rng, 150, classes)
        evals = [EvalSet("other", X2, objective.prepare(Labels(np.asarray(y2, np.float64))))]
    booster = Booster(
        Dataset(X),
        labels,
        objective,
        parameters or BoostParameters(seed=3),
        TREE,
        eval_sets=evals,
        metrics=[make_metric(objective.metric)],
    )
    return booster, X


@pytest.mark.parametrize("booster_type", ["gbtree", "dart"])
@pytest.mark.parametrize(
    ("loss", "options", "multi_output"),
    [
        ("squared_error", {}, "per_output"),
        ("absolute_error", {}, "per_output"),
        ("log_loss", {}, "per_output"),
        ("softmax", {"n_classes": 3}, "per_output"),
        ("softmax", {"n_classes": 3}, "vector"),
    ],
)
def test_margins_kept_up_to_date_are_the_models(rng, loss, options, multi_output, booster_type):
    parameters = BoostParameters(
        seed=3, booster=booster_type, multi_output=multi_output, skip_drop=0.0, rate_drop=0.3
    )
    booster, X = make(rng, loss, parameters, **options)
    result = boost(booster, 12)
    assert result.n_rounds == 12
    np.testing.assert_allclose(booster.margin.T, result.forest.predict(X), rtol=1e-9, atol=1e-9)
    watched = booster.eval_sets[0]
    expected = result.forest.predict(watched.X)
    np.testing.assert_allclose(watched.margin.T, expected, rtol=1e-9, atol=1e-9)
    measured = booster.metrics[0].measure(watched.labels, booster.objective.response(expected.T))
    assert result.history["other"][booster.metrics[0].name][-1] == pytest.approx(measured)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"subsample": 0.5},
        {"sampling": "goss"},
        {"booster": "dart", "skip_drop": 0.2},
        {"first_order": True},
    ],
)
@pytest.mark.parametrize("loss", ["squared_error", "log_loss", "absolute_error", "huber"])
def test_validation_loss_falls(rng, loss, options):
    booster, _ = make(rng, loss, BoostParameters(seed=1, learning_rate=0.2, **options))
    (history,) = boost(booster, 40).history["other"].values()
    assert history[-1] < 0.7 * history[0]


@pytest.mark.parametrize("loss", ["poisson", "gamma", "tweedie", "cross_entropy"])
@pytest.mark.parametrize("first_order", [False, True])
def test_losses_with_links_learn(rng, loss, first_order):
    X, y = data(rng)
    y = np.exp(y / 2)
    if loss == "cross_entropy":
        y /= 1 + y
    objective = make_objective(loss)
    labels = objective.prepare(Labels(y))
    booster = Booster(
        Dataset(X),
        labels,
        objective,
        BoostParameters(first_order=first_order),
        TREE,
        eval_sets=[EvalSet("train", X, labels)],
        metrics=[make_metric(objective.metric), make_metric("mae")],
    )
    history = boost(booster, 50).history["train"]
    assert history[objective.metric][-1] < history[objective.metric][0]
    assert history["mae"][-1] < 0.6 * history["mae"][0]


def test_early_stopping_keeps_the_best_rounds(rng):
    booster, _ = make(rng, "squared_error", BoostParameters(learning_rate=0.5, seed=0))
    result = boost(booster, 500, [EarlyStopping(5)])
    values = result.history["other"]["rmse"]
    assert len(values) < 500
    assert result.n_rounds == int(np.argmin(values)) + 1 == len(values) - 5
    assert result.forest.n_trees == result.n_rounds


def test_early_stopping_with_dart_restores_the_weights_of_the_best_round(rng):
    parameters = BoostParameters(learning_rate=0.5, booster="dart", skip_drop=0.0, seed=5)
    booster, _ = make(rng, "squared_error", parameters)
    result = boost(booster, 300, [EarlyStopping(10)])
    watched = booster.eval_sets[0]
    best = booster.metrics[0].measure(watched.labels, result.forest.predict(watched.X).T)
    assert best == pytest.approx(min(result.history["other"]["rmse"]))
    assert result.n_rounds < booster.n_rounds


def test_min_delta_asks_for_more(rng):
    strict, _ = make(np.random.default_rng(0), parameters=BoostParameters(seed=0))
    loose, _ = make(np.random.default_rng(0), parameters=BoostParameters(seed=0))
    short = boost(strict, 200, [EarlyStopping(3, min_delta=0.02)])
    long = boost(loose, 200, [EarlyStopping(3)])
    assert short.n_rounds < long.n_rounds


def test_early_stopping_names_what_it_cannot_watch(rng):
    booster, _ = make(rng, evaluate=False)
    with pytest.raises(ValueError, match="eval set"):
        boost(booster, 3, [EarlyStopping(2)])
    booster, _ = make(rng)
    with pytest.raises(ValueError, match="metric: expected one of rmse"):
        boost(booster, 3, [EarlyStopping(2, metric="auc")])
    with pytest.raises(ValueError, match="eval_set: expected one of other"):
        boost(booster, 3, [EarlyStopping(2, eval_set="train")])


def test_learning_rates_by_round():
    assert BoostParameters(learning_rate=lambda r: 0.5 / (r + 1)).rate(4) == 0.1
    assert BoostParameters(learning_rate=[0.3, 0.2]).rate(1) == 0.2
    with pytest.raises(ValueError, match="learning_rate: expected one for each round"):
        BoostParameters(learning_rate=[0.3]).rate(1)
    with pytest.raises(ValueError, match="learning_rate"):
        BoostParameters(learning_rate=lambda r: 0.0).rate(0)


def test_a_learning_rate_scales_the_leaves(rng):
    one, _ = make(np.random.default_rng(1), parameters=BoostParameters(learning_rate=1.0))
    tenth, _ = make(np.random.default_rng(1), parameters=BoostParameters(learning_rate=0.1))
    one, tenth = boost(one, 1).forest, boost(tenth, 1).forest
    np.testing.assert_allclose(tenth.value, 0.1 * one.value)


@pytest.mark.parametrize("loss", ["squared_error", "softmax"])
def test_going_on_from_a_forest_is_as_never_having_stopped(loss):
    def start(**more):
        booster, X = make(
            np.random.default_rng(2),
            loss,
            BoostParameters(seed=4, subsample=0.7),
            **({"n_classes": 3} if loss == "softmax" else {}),
        )
        return Booster(
            booster.dataset, booster.labels, booster.objective, booster.parameters, TREE, **more
        ), X

    whole, X = start()
    whole = boost(whole, 9).forest
    first = boost(start()[0], 4).forest
    second = boost(start(start=first, start_margin=first.predict(X))[0], 5)
    assert second.n_rounds == 9
    np.testing.assert_allclose(second.forest.predict(X), whole.predict(X), rtol=1e-6, atol=1e-9)


def test_boosting_from_a_base_margin(rng):
    X, y = data(rng)
    objective = make_objective("squared_error")
    labels = objective.prepare(Labels(y))
    base = X[:, [1]] ** 2
    booster = Booster(Dataset(X), labels, objective, BoostParameters(), TREE, base_margin=base)
    forest = boost(booster, 30).forest
    assert forest.base_score.tolist() == [0.0]
    np.testing.assert_allclose(booster.margin.T, forest.predict(X) + base)
    with pytest.raises(ValueError, match="base_margin: expected shape"):
        Booster(Dataset(X), labels, objective, BoostParameters(), TREE, base_margin=base[:3])


class Interrupt(Callback):
    def on_round(self, booster):
        if booster.n_rounds == 4:
            raise KeyboardInterrupt


def test_ctrl_c_leaves_the_rounds_there_are(rng):
    booster, X = make(rng)
    result = boost(booster, 50, [Interrupt()])
    assert result.interrupted
    assert result.n_rounds == 4
    assert np.isfinite(result.forest.predict(X)).all()


class StopAfter(Callback):
    def on_round(self, booster):
        return booster.n_rounds == 3


def test_callbacks_may_stop(rng):
    assert boost(make(rng)[0], 50, [StopAfter()]).n_rounds == 3


def arrays_of(forest):
    return [forest.value, forest.feature, forest.threshold, forest.left, forest.base_score]


@pytest.mark.parametrize(
    ("loss", "options", "parameters"),
    [
        ("squared_error", {}, {"subsample": 0.6}),
        ("log_loss", {}, {"sampling": "goss"}),
        ("softmax", {"n_classes": 4}, {}),
        ("softmax", {"n_classes": 4}, {"multi_output": "vector"}),
        ("quantile@0.3", {}, {}),
        ("tweedie", {}, {"booster": "dart", "skip_drop": 0.0}),
    ],
)
def test_models_are_the_same_bits_everywhere(loss, options, parameters, threads):
    before, seen = _cpu.isa(), set()
    for isa in _cpu.available_isas():
        _cpu.set_isa(isa)
        for count in (1, 2, 4):
            threads(count)
            rng = np.random.default_rng(0)
            X, y = data(rng, 3000, options.get("n_classes", 2 if loss == "log_loss" else None))
            if loss == "tweedie":
                y = np.abs(y)
            objective = make_objective(loss, **options)
            booster = Booster(
                Dataset(X),
                objective.prepare(Labels(np.asarray(y, np.float64))),
                objective,
                BoostParameters(seed=1, **parameters),
                TREE,
            )
            forest = boost(booster, 5).forest
            seen.add(b"".join(a.tobytes() for a in arrays_of(forest)))
    _cpu.set_isa(before)
    assert len(seen) == 1


def test_weights_are_repetitions(rng):
    X, y = data(rng)
    weight = rng.integers(1, 4, N).astype(np.float64)
    objective = make_objective("absolute_error")
    tree = TreeParameters(max_leaves=8, min_child_samples=1, min_child_weight=3)

    def fit(X, y, weight):
        labels = objective.prepare(Labels(y, weight))
        booster = Booster(Dataset(X, weight=weight), labels, objective, BoostParameters(), tree)
        return boost(booster, 10).forest

    times = weight.astype(int)
    one, other = fit(X, y, weight), fit(np.repeat(X, times, 0), np.repeat(y, times), None)
    np.testing.assert_allclose(one.predict(X), other.predict(X), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"subsample": 0.0}, "subsample"),
        ({"subsample": 1.5}, "subsample"),
        ({"sampling": "goss", "subsample": 0.5}, "subsample: expected 1"),
        ({"sampling": "other"}, "sampling"),
        ({"booster": "linear"}, "booster"),
        ({"top_rate": 0.9, "other_rate": 0.2}, "other_rate"),
        ({"multi_output": "both"}, "multi_output"),
    ],
)
def test_parameters_out_of_range_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        BoostParameters(**options)
