"""Boosting in one call: the same as round by round, from blocks, with eval sets, going on."""

import numpy as np
import pytest

from pyllm.trees import BoostParameters, Dataset, EvalSet, Labels, make_objective, train


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
    with pytest.raises(ValueError, match="y: expected 400 rows"):
        train(data, y[:10], "squared_error")
    with pytest.raises(ValueError, match="needs an eval set"):
        train(data, y, "squared_error", early_stopping_rounds=3)
    with pytest.raises(ValueError, match="loss: expected one of"):
        train(data, y, "hinge")
