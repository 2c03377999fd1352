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
        "max_onehot",
        "cat_smooth",
        "cat_l2",
        "max_cat_threshold",
        "min_category_samples",
        "min_group_samples",
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


def test_category_settings_shape_the_splits():
    rng = np.random.default_rng(0)
    codes = (12 * rng.random(3000) ** 2).astype(np.int64)  # some are rare
    target = rng.normal(size=12)[codes] + rng.normal(scale=0.1, size=3000)

    def sets(**options):
        """How many categories go left at each node."""
        model = ensemble.GradientBoostingRegressor(
            n_estimators=3, categorical_features=[0], **options
        ).fit(codes[:, np.newaxis].astype(np.float64), target)
        forest = model.forest_
        return [
            sum(int(w).bit_count() for w in forest.category_bits[first : first + words])
            for first, words in zip(forest.category_offset, forest.category_words, strict=True)
            if words
        ], model.score(codes[:, np.newaxis].astype(np.float64), target)

    plain, score = sets()
    assert max(plain) > 1
    alone, _ = sets(max_onehot=12)
    assert set(alone) == {1}
    few, _ = sets(max_cat_threshold=1, max_leaf_nodes=2)
    assert set(few) <= {1, 11}
    assert sets(cat_l2=1e5)[1] < score
    assert sets(cat_smooth=1e5)[0] != plain
