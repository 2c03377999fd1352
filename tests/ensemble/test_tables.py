"""Arrays with categories as codes; refusals. The table libraries are in tests/interop."""

import numpy as np
import pytest
from scipy import sparse

from pyllm.ensemble import GradientBoostingClassifier, GradientBoostingRegressor
from pyllm.ensemble.tables import Encoding


def test_categories_of_an_array_are_codes_by_value():
    X = np.array([["b", 1.5], ["a", 2], [None, np.nan], ["b", 3]], dtype=object)
    encoding = Encoding.learn(X, [0], None)
    assert encoding.categories == {0: ["a", "b"]}
    expected = [[1, 1.5], [0, 2], [np.nan, np.nan], [1, 3]]
    np.testing.assert_array_equal(encoding.encode(X), expected)


def test_unseen_categories_are_missing():
    encoding = Encoding.learn(np.array([[3.0], [7.0], [np.nan]]), [0], None)
    np.testing.assert_array_equal(
        encoding.encode(np.array([[7.0], [5.0], [np.nan]])), [[1], [np.nan], [np.nan]]
    )


def test_arrays_without_categories_are_not_copied():
    X = np.ones((3, 2))
    assert Encoding.learn(X, "from_dtype", None).encode(X) is X


@pytest.mark.parametrize(
    ("categorical", "message"),
    [
        ([2], "expected names or 0 to 1"),
        ([-1], "expected names or 0 to 1"),
        (["a"], "no feature 'a'"),
        ([True], "mask"),
        ("all", "from_dtype"),
    ],
)
def test_features_that_are_not_there_are_named(categorical, message):
    with pytest.raises(ValueError, match=message):
        Encoding.learn(np.ones((3, 2)), categorical, None)


def test_a_category_splits_by_value_not_by_order():
    rng = np.random.default_rng(0)
    colour = rng.choice(["red", "green", "blue", "grey"], 400)
    y = np.isin(colour, ["green", "grey"]).astype(float)
    X = np.column_stack([colour, rng.normal(size=400)]).astype(object)
    X[:, 1] = X[:, 1].astype(float)
    model = GradientBoostingRegressor(n_estimators=30, categorical_features=[0]).fit(X, y)
    np.testing.assert_allclose(model.predict(X), y, atol=0.1)
    unseen = np.array([["pink", 0.0], [None, 0.0]], dtype=object)
    assert model.predict(unseen)[0] == model.predict(unseen)[1]


@pytest.mark.parametrize("form", ["csr_matrix", "csc_array"])
def test_categories_of_sparse_rows_are_the_dense_ones(form, rng):
    X = rng.normal(size=(400, 4)) * (rng.random((400, 4)) < 0.4)
    X[:, 1] = rng.choice([0.0, 3.0, 7.0, 8.0, 9.0, 11.0], 400)
    X[:, 3] = rng.choice([-2.0, 0.0, 5.0, np.nan], 400)  # the code of 0 is not 0
    y = np.isin(X[:, 1], [0, 8, 9]) + 2.0 * (X[:, 3] == 5)
    thin = getattr(sparse, form)(X)
    options = {"n_estimators": 20, "categorical_features": [1, 3], "min_group_samples": 20}
    dense = GradientBoostingRegressor(**options).fit(X, y)
    model = GradientBoostingRegressor(**options).fit(thin, y)
    assert model.forest_ == dense.forest_
    assert model.score(thin, y) > 0.9
    unseen = X.copy()
    unseen[:, 1] = 4.0
    np.testing.assert_array_equal(
        model.predict(getattr(sparse, form)(unseen)), dense.predict(unseen)
    )


def test_strings_that_are_no_categories_are_refused():
    X = np.array([["a", 1.0], ["b", 2.0]], dtype=object)
    with pytest.raises(ValueError, match="could not convert string to float"):
        GradientBoostingClassifier().fit(X, [0, 1])
    with pytest.raises(ValueError, match="column 0 holds no numbers"):
        GradientBoostingClassifier(categorical_features=[1]).fit(X, [0, 1])
