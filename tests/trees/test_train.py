"""Boosting in one call: the same as round by round, from blocks, with eval sets, going on."""

import numpy as np
import pytest

from pyllm.trees import (
    BoostParameters,
    Dataset,
    EvalSet,
    Labels,
    TreeParameters,
    cv,
    grow_tree,
    make_objective,
    train,
)


@pytest.fixture
def rows(rng):
    X = rng.normal(size=(400, 4))
    return X, X[:, 0] + X[:, 1] ** 2


def test_blocks_give_the_model_of_the_whole(rows):
    X, y = rows
    whole = train(Dataset(X), y, "squared_error", n_rounds=10)
    parts = train(Dataset(lambda: iter([X[:150], X[150:]])), y, "squared_error", n_rounds=10)
    assert whole.forest == parts.forest
    assert whole.n_rounds == 10
    assert np.std(y - whole.forest.predict(X)[:, 0]) < 0.7 * np.std(y)


def test_early_stopping_on_named_rows(rows, rng):
    X, y = rows
    noisy = y + 2 * rng.normal(size=400)
    result = train(
        Dataset(X[:300]), noisy[:300], "squared_error", BoostParameters(learning_rate=0.5),
        n_rounds=200, eval_sets={"late": (X[300:], noisy[300:])}, metrics=["mae", "rmse"],
        early_stopping_rounds=5,
    )  # fmt: skip
    values = result.history["late"]["mae"]
    assert result.n_rounds == int(np.argmin(values)) + 1 == len(values) - 5
    error = np.abs(result.forest.predict(X[300:])[:, 0] - noisy[300:]).mean()
    np.testing.assert_allclose(error, min(values))


def test_going_on_is_one_run(rows):
    X, y = rows
    data = Dataset(X)
    whole = train(data, y, "squared_error", n_rounds=12)
    first = train(data, y, "squared_error", n_rounds=5)
    second = train(data, y, "squared_error", n_rounds=7, start=(first.forest, X))
    assert second.n_rounds == second.forest.n_trees == 12
    np.testing.assert_allclose(second.forest.predict(X), whole.forest.predict(X), rtol=1e-5)


def test_classes_weights_and_eval_sets_with_weights(rows, rng):
    X, y = rows
    classes = np.digitize(y, [0.0, 1.5])
    objective = make_objective("softmax", n_classes=3)
    weight = rng.integers(1, 3, 400).astype(float)
    watched = EvalSet("same", X, objective.prepare(Labels(classes, weight)))
    result = train(Dataset(X), classes, objective, n_rounds=15, weight=weight, eval_sets=[watched])
    p = objective.response(result.forest.predict(X).T)
    assert np.average(p.argmax(0) == classes, weights=weight) > 0.9
    assert result.history["same"]["log_loss"][-1] < 0.5


def test_what_does_not_fit(rows):
    X, y = rows
    data = Dataset(X)
    with pytest.raises(ValueError, match="n_rounds: expected at least 1"):
        train(data, y, "squared_error", n_rounds=0)
    with pytest.raises(ValueError, match=r"y: expected shape \(400,\)"):
        train(data, y[:10], "squared_error")
    with pytest.raises(ValueError, match="needs an eval set"):
        train(data, y, "squared_error", early_stopping_rounds=3)
    with pytest.raises(ValueError, match="loss: expected one of"):
        train(data, y, "hinge")


N = 50
X_BAD = np.random.default_rng(0).normal(size=(N, 3))
Y_BAD = (X_BAD[:, 0] > 0).astype(float)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"y": None}, ValueError, r"y: expected shape \(50,\), or \(n_outputs, 50\), got \(\)"),
        ({"y": Y_BAD[:-1]}, ValueError, r"y: expected shape \(50,\)"),
        ({"y": Y_BAD[:, np.newaxis]}, ValueError, r"y: expected .* got \(50, 1\)"),
        ({"y": Y_BAD * np.nan}, ValueError, "y: log_loss expects 0 or 1, got nan at row 0"),
        ({"weight": np.ones(3)}, ValueError, r"weight: expected shape \(50,\), got \(3,\)"),
        ({"weight": -np.ones(N)}, ValueError, "weight: expected finite numbers of 0 or more"),
        ({"weight": np.zeros(N)}, ValueError, "not all 0"),
        ({"weight": np.full(N, np.nan)}, ValueError, "weight: expected finite"),
        ({"weight": np.full(N, np.inf)}, ValueError, "weight: expected finite"),
        ({"eval_sets": {"a": X_BAD}}, TypeError, r"eval_sets: expected a pair \(X, y\) for 'a'"),
        ({"eval_sets": {"a": (X_BAD, Y_BAD[1:])}}, ValueError, r"y: expected shape \(50,\)"),
        ({"eval_sets": {"a": (X_BAD[:, :2], Y_BAD)}}, ValueError, "X: expected 3 features, got 2"),
        ({"start": 3}, TypeError, r"start: expected a pair \(Forest, rows\)"),
        ({"dataset": X_BAD}, TypeError, "dataset: expected a Dataset, got ndarray"),
        ({"n_rounds": 0}, ValueError, "n_rounds: expected at least 1"),
    ],
)
def test_what_does_not_fit_is_named(arguments, error, message):
    given = {"dataset": Dataset(X_BAD), "y": Y_BAD, "objective": "log_loss", "n_rounds": 2}
    with pytest.raises(error, match=message):
        train(**given | arguments)


def test_weights_may_be_any_numbers():
    options = {"objective": "log_loss", "n_rounds": 3}
    plain = train(Dataset(X_BAD), Y_BAD, **options)
    for weight in ([1] * N, np.ones(N, np.int64), np.ones((N, 2), np.float32)[:, 0]):
        assert train(Dataset(X_BAD), Y_BAD, weight=weight, **options).forest == plain.forest


def test_folds_take_lists_and_name_what_does_not_fit():
    whole = cv(X_BAD, Y_BAD, "log_loss", n_rounds=2)
    assert cv(X_BAD.tolist(), Y_BAD.tolist(), "log_loss", n_rounds=2).mean == whole.mean
    with pytest.raises(ValueError, match=r"y: expected shape \(50,\)"):
        cv(X_BAD, Y_BAD[:-1], "log_loss")
    with pytest.raises(TypeError, match="reference: expected a Dataset, got int"):
        Dataset(X_BAD, reference=3)
    for seed in (-1, 2**64):
        with pytest.raises(ValueError, match="seed: expected"):
            grow_tree(Dataset(X_BAD), Y_BAD, np.ones(N), TreeParameters(), seed=seed)
