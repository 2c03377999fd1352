"""Objectives in Python: where they start, what they check, what margins mean, leaf renewal."""

import numpy as np
import pytest

from pyllm.trees.custom_loss import CustomLoss
from pyllm.trees.losses import OBJECTIVES, make_objective
from pyllm.trees.objective import Labels
from tests.reference import tree_losses as reference

# name -> (options, the kernel's loss, its parameter)
ROWS = {
    "squared_error": ({}, "squared", 0.0),
    "absolute_error": ({}, "absolute", 0.0),
    "huber": ({"delta": 1.5}, "huber", 1.5),
    "quantile": ({"level": 0.8}, "quantile", 0.8),
    "poisson": ({}, "poisson", 0.0),
    "gamma": ({}, "gamma", 0.0),
    "tweedie": ({"power": 1.3}, "tweedie", 1.3),
    "log_loss": ({}, "logistic", 0.0),
    "cross_entropy": ({}, "logistic", 0.0),
}


def labels_for(name, rng, n=301, weighted=False):
    y = rng.gamma(2.0, size=n)
    if name == "log_loss":
        y = (y > 1).astype(np.float64)
    elif name == "cross_entropy":
        y = y / y.max()
    return Labels(y, rng.exponential(size=n) if weighted else None)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", ROWS)
def test_initial_margin_is_the_best_constant(name, weighted, rng):
    options, kernel, parameter = ROWS[name]
    objective = make_objective(name, **options)
    labels = objective.prepare(labels_for(name, rng, weighted=weighted))
    start = objective.initial_margin(labels)
    weight = np.ones(301) if labels.weight is None else labels.weight

    def total(s):
        return np.sum(weight * reference.row_loss(kernel, parameter, s, labels.target))

    # Huber starts at the median, near its best constant; the others at it.
    slack = 0.05 if name == "huber" else 1e-6
    assert start.shape == (1,)
    for step in (-0.05, -1e-3, 1e-3, 0.05):
        assert total(start[0]) <= total(start[0] + step) * (1 + slack)


@pytest.mark.parametrize("name", ["softmax", "one_vs_all"])
def test_class_losses_start_at_the_priors(name, rng):
    objective = make_objective(name, n_classes=4)
    y, weight = rng.integers(0, 4, 500), rng.exponential(size=500)
    labels = objective.prepare(Labels(y, weight))
    start = objective.initial_margin(labels)[:, np.newaxis]
    priors = np.bincount(y, weight) / weight.sum()
    np.testing.assert_allclose(objective.response(start)[:, 0], priors, rtol=1e-6)


def test_several_targets_are_losses_side_by_side(rng):
    y = rng.normal(size=(3, 50))
    objective = make_objective("absolute_error", n_outputs=3)
    labels = objective.prepare(Labels(y))
    np.testing.assert_allclose(objective.initial_margin(labels), np.median(y, axis=1), rtol=1e-7)
    gradient, hessian = np.empty((2, 3, 50), np.float32)
    objective.derivatives(np.zeros((3, 50)), labels, gradient, hessian)
    assert (gradient == -np.sign(y)).all()


@pytest.mark.parametrize(("name", "level"), [("absolute_error", 0.5), ("quantile", 0.7)])
def test_leaves_hold_quantiles_of_their_residuals(name, level, rng):
    objective = make_objective(name, **({"level": level} if name == "quantile" else {}))
    labels = objective.prepare(labels_for(name, rng, weighted=True))
    margin, leaf = rng.normal(size=(1, 301)), rng.integers(0, 3, 301).astype(np.int32)
    got = objective.renew(margin, labels, 0, leaf, 4, labels.weight, None)
    residual = labels.target - margin[0]
    for k in range(4):
        rows = leaf == k
        expected = reference.weighted_quantile(residual[rows], labels.weight[rows], level)
        assert got[k] == expected


def test_huber_finds_its_delta_and_friedmans_leaves(rng):
    objective = make_objective("huber", level=0.8)
    labels = objective.prepare(labels_for("huber", rng))
    margin, leaf = rng.normal(size=(1, 301)), rng.integers(0, 3, 301).astype(np.int32)
    residual = labels.target - margin[0]
    delta = reference.weighted_quantile(np.abs(residual), np.ones(301), 0.8)
    gradient, hessian = np.empty((2, 1, 301), np.float32)
    objective.derivatives(margin, labels, gradient, hessian)
    np.testing.assert_allclose(gradient[0], -np.clip(residual, -delta, delta), rtol=1e-7)
    rows = np.arange(0, 301, 2, dtype=np.int32)
    got = objective.renew(margin, labels, 0, leaf, 3, None, rows)
    for k in range(3):
        r = residual[rows][leaf[rows] == k]
        shift = np.sign(r - np.median(r)) * np.minimum(np.abs(r - np.median(r)), delta)
        np.testing.assert_allclose(got[k], np.median(r) + shift.mean(), rtol=1e-12)


@pytest.mark.parametrize(
    ("name", "options", "y"),
    [
        ("squared_error", {}, [1.0, np.nan]),
        ("squared_error", {}, [1.0, np.inf]),
        ("poisson", {}, [1.0, -1.0]),
        ("gamma", {}, [1.0, 0.0]),
        ("log_loss", {}, [0.0, 2.0]),
        ("cross_entropy", {}, [0.5, 1.1]),
        ("cross_entropy", {}, [0.5, np.nan]),
        ("softmax", {"n_classes": 3}, [0, 3]),
        ("softmax", {"n_classes": 3}, [0, -1]),
        ("softmax", {"n_classes": 3}, [0, 0.5]),
        ("squared_error", {"n_outputs": 2}, [1.0, 2.0]),
    ],
)
def test_targets_that_do_not_fit_are_named(name, options, y):
    with pytest.raises(ValueError, match=r"^y: "):
        make_objective(name, **options).prepare(Labels(np.array(y)))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("quantile", {"level": 1.0}),
        ("tweedie", {"power": 2.0}),
        ("huber", {"delta": -1.0}),
        ("softmax", {"n_classes": 1}),
        ("lambdarank", {"truncation": 0}),
        ("no_such", {}),
        ("quantile@1.5", {}),
        ("quantile@x", {}),
        ("gamma@2", {}),
    ],
)
def test_options_out_of_range_are_refused(name, options):
    with pytest.raises(ValueError, match="expected"):
        make_objective(name, **options)


def test_all_zero_counts_are_refused():
    objective = make_objective("poisson")
    with pytest.raises(ValueError, match="mean of 0"):
        objective.initial_margin(objective.prepare(Labels(np.zeros(3))))


def test_ranking_needs_queries_with_one_weight_each():
    objective = OBJECTIVES["lambdarank"]()
    with pytest.raises(ValueError, match="group"):
        objective.prepare(Labels(np.array([0, 1])))
    with pytest.raises(ValueError, match="query_weight"):
        objective.prepare(Labels(np.array([0, 1]), np.array([1.0, 2.0]), np.array([0, 2])))
    with pytest.raises(ValueError, match="grades from 0 to 60, got 61"):
        objective.prepare(Labels(np.array([0, 61]), None, np.array([0, 2])))


def test_custom_losses_are_checked_and_weighted():
    weight = np.array([1.0, 3.0])
    gradient, hessian = np.empty((2, 1, 2), np.float32)
    labels = Labels(np.array([1.0, 2.0]), weight)
    CustomLoss(lambda y, s: (s - y, np.ones(2))).derivatives(
        np.zeros((1, 2)), labels, gradient, hessian
    )
    assert gradient.tolist() == [[-1, -6]]
    assert hessian.tolist() == [[1, 3]]
    for wrong, message in (
        (lambda y, s: s, "pair"),
        (lambda y, s: (s, s[:1]), "hessian of shape"),
        (lambda y, s: (s * np.nan, s), "gradient has values"),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            CustomLoss(wrong).derivatives(np.zeros((1, 2)), labels, gradient, hessian)
