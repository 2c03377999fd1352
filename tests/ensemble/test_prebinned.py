"""Estimators on data that is binned already, and on blocks of rows."""

import numpy as np
import pytest

from pyllm.ensemble import (
    DecisionTreeClassifier,
    DecisionTreeRegressor,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    GradientBoostingRanker,
    GradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from pyllm.ensemble.resampling import Bootstrap
from pyllm.trees import Dataset


@pytest.fixture
def rows(rng):
    """Few distinct values, so that the sketch of blocks loses none."""
    X = rng.integers(0, 30, (600, 4)).astype(np.float64)
    X[rng.random(X.shape) < 0.05] = np.nan
    X[:, 3] = rng.integers(0, 12, 600)
    return X, (np.nan_to_num(X[:, 0]) + 9 * np.isin(X[:, 3], [1, 4, 5]) > 20).astype(int)


OPTIONS = {"n_estimators": 8, "random_state": 0, "min_group_samples": 10}


def test_a_dataset_serves_many_fits(rows):
    X, y = rows
    dataset = Dataset(X, categorical=["d"], feature_names=["a", "b", "c", "d"])
    for kind in (GradientBoostingClassifier, GradientBoostingRegressor):
        plain = kind(**OPTIONS, categorical_features=[3]).fit(X, y)
        model = kind(**OPTIONS).fit(dataset, y)
        assert model.n_features_in_ == 4
        assert model.feature_names_in_.tolist() == ["a", "b", "c", "d"]
        assert model.forest_.feature_names == ["a", "b", "c", "d"]
        with pytest.warns(UserWarning, match="feature names"):
            np.testing.assert_array_equal(model.predict(X), plain.predict(X))
    group = [200, 400]
    plain = GradientBoostingRanker(**OPTIONS).fit(X, y, group=group)
    model = GradientBoostingRanker(**OPTIONS).fit(Dataset(X), y, group=group)
    assert model.forest_ == plain.forest_


@pytest.mark.parametrize("as_function", [False, True])
@pytest.mark.parametrize("categorical", [[3], [False, False, False, True]])
def test_blocks_give_the_model_of_the_whole(rows, as_function, categorical):
    X, y = rows
    blocks = np.split(X, [7, 300, 300, 450])
    model = GradientBoostingClassifier(**OPTIONS, categorical_features=categorical)
    model.fit((lambda: iter(blocks)) if as_function else blocks, y)
    plain = GradientBoostingClassifier(**OPTIONS, categorical_features=[3]).fit(X, y)
    assert model.forest_ == plain.forest_
    np.testing.assert_array_equal(
        np.concatenate([model.predict_proba(b) for b in blocks if len(b)]), plain.predict_proba(X)
    )


def test_weights_classes_and_eval_sets_work_on_bins(rows):
    X, y = rows
    names = np.array(["no", "yes"])[y]
    weight = np.arange(len(y)) % 3.0  # the bins hold the rows of weight 0, the trees do not
    options = {"n_estimators": 200, "class_weight": "balanced", "random_state": 0}
    weighted = GradientBoostingClassifier(**options).fit(Dataset(X), names, weight)
    kept = weight > 0
    plain = GradientBoostingClassifier(**options).fit(X[kept], names[kept], weight[kept])
    np.testing.assert_allclose(weighted.predict_proba(X), plain.predict_proba(X), atol=0.05)
    model = GradientBoostingClassifier(early_stopping_rounds=3, **options)
    model.fit(Dataset(X[:400]), names[:400], eval_set=[(X[400:], names[400:])])
    assert model.n_iter_ < 200
    assert set(model.predict(X)) == {"no", "yes"}


def test_what_bins_cannot_do_is_said(rows):
    X, y = rows
    dataset = Dataset(X)
    with pytest.raises(ValueError, match="early_stopping_rounds: a Dataset or blocks cannot be"):
        GradientBoostingRegressor(early_stopping_rounds=3).fit(dataset, y)
    model = GradientBoostingRegressor(n_estimators=2, warm_start=True).fit(dataset, y)
    with pytest.raises(ValueError, match="warm_start: going on needs the rows"):
        model.set_params(n_estimators=4).fit(dataset, y)
    for given in (dataset, [X, X]):
        with pytest.raises(ValueError, match="X: expected rows, got bins or blocks"):
            model.predict(given)
    with pytest.raises(ValueError, match="inconsistent"):
        model.fit(dataset, y[:-1])
    with pytest.raises(ValueError, match="blocks are read twice"):
        GradientBoostingRegressor().fit(iter([X]), y)
    with pytest.raises(ValueError, match="categorical: expected 0 to 3, got 9"):
        GradientBoostingRegressor(categorical_features=[9]).fit([X], y)


AVERAGED = [
    (DecisionTreeClassifier, {}),
    (DecisionTreeRegressor, {"ccp_alpha": 0.01}),
    (ExtraTreesClassifier, {"n_estimators": 5}),
    (RandomForestRegressor, {"n_estimators": 5, "bootstrap": False, "max_features": 0.5}),
]


@pytest.mark.parametrize(("kind", "options"), AVERAGED)
def test_averaged_trees_of_bins_are_those_of_the_rows(kind, options, rows):
    X, y = rows
    weight = 1.0 + np.arange(len(y)) % 3
    plain = kind(**options, random_state=0, categorical_features=[3]).fit(X, y, weight)
    model = kind(**options, random_state=0).fit(Dataset(X, categorical=[3]), y, weight)
    assert model.forest_ == plain.forest_
    np.testing.assert_array_equal(model.predict(X), plain.predict(X))
    piecewise = kind(**options, random_state=0, categorical_features=[3])
    piecewise.fit(np.split(X, [100, 350]), y, weight)
    assert piecewise.forest_ == plain.forest_


def test_draws_from_a_dataset_go_by_weight(rows):
    X, y = rows
    options = {"n_estimators": 30, "random_state": 0, "oob_score": True}
    model = RandomForestClassifier(**options).fit(Dataset(X), y)
    plain = RandomForestClassifier(**options).fit(X, y)
    assert abs(model.oob_score_ - plain.oob_score_) < 0.03
    again = RandomForestClassifier(**options).fit(Dataset(X), y)
    assert again.forest_ == model.forest_
    weight = np.arange(len(y)) % 3.0
    twice = np.repeat(np.arange(len(y)), weight.astype(int))
    drawn = Bootstrap(Dataset(X), y, weight, None).draw(7)
    copies = Bootstrap(Dataset(X[twice]), y[twice], None, None).draw(7)
    np.testing.assert_array_equal(drawn, np.bincount(twice, copies, len(y)))
    RandomForestClassifier(**options).fit(Dataset(X), y, weight)  # rows of weight 0 are not drawn


def test_averaged_trees_say_what_bins_cannot_do(rows):
    X, y = rows
    dataset = Dataset(X)
    forest = ExtraTreesClassifier(n_estimators=2).fit(dataset, y)
    with pytest.raises(ValueError, match="X: expected rows, got bins or blocks"):
        forest.predict_proba(dataset)
    with pytest.raises(ValueError, match="sample_weight: expected none of 0 for a Dataset"):
        forest.fit(dataset, y, np.arange(len(y)) % 2.0)
    with pytest.raises(ValueError, match="inconsistent"):
        forest.fit(dataset, y[1:])
    with pytest.raises(ValueError, match="X: expected at least one row"):
        forest.fit(Dataset(X[:0]), y[:0])
    with pytest.raises(ValueError, match="X: expected rows, got bins or blocks"):
        DecisionTreeClassifier().cost_complexity_pruning_path(dataset, y)
