"""Metrics against scikit-learn's, and what they do at the edges."""

from itertools import pairwise

import numpy as np
import pytest
from sklearn import metrics as sk

from pyllm.trees.metric import Metric, custom_metric, make_metric
from pyllm.trees.objective import Labels

N = 400


def measure(name, y, p, weight=None, offset=None):
    return make_metric(name).measure(Labels(y, weight, offset), np.atleast_2d(p))


@pytest.fixture(params=[False, True], ids=["plain", "weighted"])
def weight(request, rng):
    return rng.exponential(size=N) if request.param else None


@pytest.mark.parametrize(
    ("name", "peer"),
    [
        ("rmse", sk.root_mean_squared_error),
        ("mse", sk.mean_squared_error),
        ("mae", sk.mean_absolute_error),
        ("quantile@0.3", lambda *a, **k: sk.mean_pinball_loss(*a, alpha=0.3, **k)),
        ("poisson_deviance", sk.mean_poisson_deviance),
        ("gamma_deviance", sk.mean_gamma_deviance),
        ("tweedie_deviance@1.7", lambda *a, **k: sk.mean_tweedie_deviance(*a, power=1.7, **k)),
    ],
)
def test_regression_metrics_are_scikit_learns(name, peer, weight, rng):
    y, p = rng.gamma(2.0, size=N), rng.gamma(2.0, size=N)
    expected = peer(y, p, sample_weight=weight)
    np.testing.assert_allclose(measure(name, y, p, weight), expected, rtol=1e-12)


def test_regression_metrics_average_over_outputs(weight, rng):
    y, p = rng.normal(size=(2, N)), rng.normal(size=(2, N))
    expected = sk.mean_absolute_error(y.T, p.T, sample_weight=weight)
    np.testing.assert_allclose(measure("mae", y, p, weight), expected, rtol=1e-12)


def test_two_class_metrics_are_scikit_learns(weight, rng):
    y, p = rng.integers(0, 2, N), rng.random(N).round(2)  # with ties
    for name, expected in {
        "logloss": sk.log_loss(y, np.clip(p, 1e-15, 1 - 1e-15), sample_weight=weight),
        "error": 1 - sk.accuracy_score(y, p > 0.5, sample_weight=weight),
        "accuracy": sk.accuracy_score(y, p > 0.5, sample_weight=weight),
        "auc": sk.roc_auc_score(y, p, sample_weight=weight),
    }.items():
        np.testing.assert_allclose(measure(name, y, p, weight), expected, rtol=1e-10, err_msg=name)


def test_multiclass_metrics_are_scikit_learns(weight, rng):
    y, p = rng.integers(0, 4, N), rng.dirichlet(np.ones(4), N)
    for name, expected in {
        "mlogloss": sk.log_loss(y, p, sample_weight=weight),
        "merror": 1 - sk.accuracy_score(y, p.argmax(1), sample_weight=weight),
        "auc": sk.roc_auc_score(y, p, multi_class="ovr", sample_weight=weight),
    }.items():
        np.testing.assert_allclose(measure(name, y, p.T, weight), expected, rtol=1e-10)


def test_log_loss_of_probabilities(rng):
    y, p = rng.random(N), rng.random(N)
    expected = np.mean(-(y * np.log(p) + (1 - y) * np.log(1 - p)))
    np.testing.assert_allclose(measure("log_loss", y, p), expected, rtol=1e-12)
    assert np.isfinite(measure("log_loss", np.ones(2), np.zeros(2)))


@pytest.mark.parametrize("k", [None, 1, 5])
def test_ranking_metrics_are_scikit_learns(k, rng):
    offset = np.cumsum([0, 3, 20, 0, 7, 10])
    n = int(offset[-1])
    y, score = rng.integers(0, 4, n), rng.permutation(n) / n
    y[30:] = 0  # the last query has no relevant row: perfect
    gains, precisions = [], []
    for a, b in pairwise(offset):
        if a == b:
            continue
        relevant = y[a:b] > 0
        found = relevant[np.argsort(-score[a:b])]
        gains.append(sk.ndcg_score([2.0 ** y[a:b] - 1], [score[a:b]], k=k) if any(found) else 1.0)
        part = [found[: i + 1].mean() for i in range(len(found)) if found[i] and i < (k or n)]
        precisions.append(sum(part) / min(found.sum(), k or n) if any(found) else 1.0)
    suffix = "" if k is None else f"@{k}"
    np.testing.assert_allclose(measure(f"ndcg{suffix}", y, score, None, offset), np.mean(gains))
    np.testing.assert_allclose(measure(f"map{suffix}", y, score, None, offset), np.mean(precisions))
    weight = rng.exponential(size=5)  # the third query has no rows
    expected = np.average(gains, weights=weight[[0, 1, 3, 4]])
    np.testing.assert_allclose(measure(f"ndcg{suffix}", y, score, weight, offset), expected)


def test_auc_of_one_class_is_undefined():
    assert np.isnan(measure("auc", np.ones(5), np.arange(5.0)))


def test_functions_of_the_callers_own(rng):
    y, p, weight = rng.normal(size=(3, N))
    plain = make_metric(lambda y_true, y_pred: np.mean(y_true - y_pred))
    assert plain.measure(Labels(y), p[None]) == np.mean(y - p)
    weighted = custom_metric(
        lambda y_true, y_pred, sample_weight: np.sum(sample_weight),
        name="weight",
        higher_is_better=True,
    )
    assert (weighted.name, weighted.higher_is_better) == ("weight", True)
    assert weighted.measure(Labels(y, weight), p[None]) == np.sum(weight)
    assert make_metric(weighted) is weighted
    assert isinstance(plain, Metric)


@pytest.mark.parametrize("name", ["no_such", "rmse@3", "ndcg@x", "ndcg@0"])
def test_unknown_names_are_refused(name):
    with pytest.raises(ValueError, match="metric: expected"):
        make_metric(name)


def test_other_types_are_refused():
    with pytest.raises(TypeError, match="metric"):
        make_metric(3)
