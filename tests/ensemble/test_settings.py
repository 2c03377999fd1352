"""Settings and targets that make no sense: the error names them."""

import numpy as np
import pytest

from pyllm import ensemble

X = np.arange(40.0).reshape(20, 2)
y = np.arange(20) % 2


@pytest.mark.parametrize("value", ["7", 2.5, None, [3]])
@pytest.mark.parametrize(
    "kind",
    [
        ensemble.GradientBoostingRegressor,
        ensemble.GradientBoostingClassifier,
        ensemble.RandomForestRegressor,
        ensemble.ExtraTreesClassifier,
        ensemble.BaggingRegressor,
        ensemble.AdaBoostClassifier,
    ],
)
def test_n_estimators_is_a_whole_number(kind, value):
    with pytest.raises(TypeError, match="n_estimators: expected a whole number"):
        kind(n_estimators=value).fit(X, y)
    with pytest.raises(ValueError, match="n_estimators: expected at least 1, got 0"):
        kind(n_estimators=0).fit(X, y)
    kind(n_estimators=np.int64(2)).fit(X, y)


@pytest.mark.parametrize(
    "name",
    [
        "learning_rate",
        "max_leaf_nodes",
        "max_depth",
        "min_samples_leaf",
        "min_child_weight",
        "reg_lambda",
        "reg_alpha",
        "gamma",
        "max_delta_step",
        "subsample",
        "top_rate",
        "other_rate",
        "colsample_bytree",
        "colsample_bylevel",
        "colsample_bynode",
        "max_bin",
        "rate_drop",
        "skip_drop",
        "early_stopping_rounds",
        "min_delta",
        "validation_fraction",
    ],
)
def test_numbers_of_boosting_are_numbers(name):
    options = {"early_stopping_rounds": 3, name: "much"}
    setting = {"max_leaf_nodes": "max_leaves", "min_samples_leaf": "min_child_samples"}
    with pytest.raises(TypeError, match=f"{setting.get(name, name)}: expected a"):
        ensemble.GradientBoostingRegressor(**options).fit(X, y)


@pytest.mark.parametrize(
    "kind",
    [
        ensemble.GradientBoostingRegressor,
        ensemble.RandomForestRegressor,
        ensemble.DecisionTreeRegressor,
    ],
)
def test_targets_that_gains_cannot_hold(kind):
    with pytest.raises(ValueError, match=r"y: expected values up to 1e\+15, got 1e\+300"):
        kind().fit(X, np.where(y, 1e300, 0))
    kind().fit(X, np.where(y, 1e15, 0))
