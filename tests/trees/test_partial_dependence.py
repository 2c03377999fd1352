"""Partial dependence against its definition, and what must hold of it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.reference.shap import expected_value
from tests.trees.forests import random_forest, random_rows

SEEDS = st.integers(0, 2**32 - 1)
KINDS = st.sampled_from(
    [
        {},
        {"n_outputs": 2},
        {"n_outputs": 2, "vector": True},
        {"float32_input": True},
        {"leaves": 1},
        {"average": True},
        {"trees": 0},
    ]
)


@pytest.mark.filterwarnings("ignore:overflow encountered in cast")  # of 1e300 to float32
@settings(max_examples=25)
@given(SEEDS, KINDS, st.sampled_from(["count", "cover"]))
def test_means_by_definition(seed, kind, weight):
    rng = np.random.default_rng(seed)
    forest = random_forest(rng, **{"trees": 3, "n_features": 4, "leaves": 8, **kind})
    rows = random_rows(rng, forest, 3)
    known = rng.permutation(4)[: rng.integers(0, 5)].tolist()
    weights = getattr(forest, weight)
    sums = np.array(
        [
            sum(
                (expected_value(forest, t, row, known, weights) for t in range(forest.n_trees)),
                np.zeros(forest.n_outputs),
            )
            for row in rows
        ]
    )
    if forest.average:
        sums /= forest.trees_of_outputs(range(forest.n_trees))
    np.testing.assert_allclose(
        forest.partial_dependence(known, rows[:, known], weight=weight),
        sums + forest.base_score,
        rtol=1e-10,
        atol=1e-12,
    )


def test_where_everything_is_known_it_is_the_prediction(rng, isa):
    forest = random_forest(rng, n_outputs=2, leaves=40)
    X = random_rows(rng, forest, 50)
    order = [3, 0, 4, 1, 2]
    np.testing.assert_allclose(
        forest.partial_dependence(order, X[:, order]), forest.predict(X), rtol=1e-12, atol=1e-12
    )


def test_where_nothing_is_known_it_is_where_shap_values_start(rng):
    forest = random_forest(rng, n_outputs=2)
    start = forest.shap(random_rows(rng, forest, 1))[0, :, -1]
    np.testing.assert_allclose(forest.partial_dependence([], np.zeros((1, 0)))[0], start)


def test_same_bits_at_any_thread_count(rng, threads):
    forest = random_forest(rng, leaves=40)
    X = random_rows(rng, forest, 100)
    results = []
    for n in (1, 2, 4):
        threads(n)
        results.append(forest.partial_dependence(2, X[:, 2]))
        np.testing.assert_array_equal(forest.partial_dependence(2, X[:1, 2]), results[0][:1])
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


@pytest.mark.parametrize(
    ("features", "points", "message"),
    [
        (5, [0.0], "features: expected different ones of 0 to 4"),
        (-1, [0.0], "features: expected"),
        ([1, 1], [[0.0, 0.0]], "features: expected"),
        ([1, 2], [0.0], "points: expected numbers of shape"),
        (1, [["a"]], "points: expected numbers"),
    ],
)
def test_what_is_refused(rng, features, points, message):
    with pytest.raises(ValueError, match=message):
        random_forest(rng).partial_dependence(features, points)
    with pytest.raises(ValueError, match="weight: expected"):
        random_forest(rng).partial_dependence(0, [0.0], weight="gain")
