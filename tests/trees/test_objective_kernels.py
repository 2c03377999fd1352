"""Derivatives of the losses, leaf quantiles and row draws against the reference, and their bits."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyllm import _cpu
from tests.reference import philox
from tests.reference import tree_losses as reference

LOSSES = {
    "squared": 0.0,
    "absolute": 0.0,
    "huber": 0.7,
    "quantile": 0.3,
    "poisson": 0.0,
    "gamma": 0.0,
    "tweedie": 1.4,
    "logistic": 0.0,
}
SMOOTH = ["squared", "huber", "gamma", "tweedie", "logistic"]


def targets(loss, rng, n):
    if loss == "logistic":
        return rng.integers(0, 2, n).astype(np.float64)
    if loss in ("poisson", "tweedie"):
        return rng.poisson(2.0, n).astype(np.float64)
    if loss == "gamma":
        return rng.gamma(2.0, size=n) + 0.01
    return rng.normal(size=n)


def row_derivatives(loss, s, y, weight=None):
    gradient, hessian = np.empty((2, len(s)), np.float32)
    _cpu.tree_row_gradient(loss, LOSSES[loss], s, y, weight, gradient, hessian)
    return gradient, hessian


def close(got, expected):
    """Computed in double, rounded once: float32's half unit and a little of double's."""
    np.testing.assert_allclose(got, expected, rtol=6.1e-8, atol=1e-14)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("weighted", [False, True])
def test_row_derivatives_match_the_reference(loss, weighted, isa, rng):
    n = 1003
    s, y = rng.normal(scale=3, size=n), targets(loss, rng, n)
    y[:5] = s[:5] if loss in ("squared", "absolute", "huber", "quantile") else y[:5]
    weight = rng.exponential(size=n) if weighted else None
    gradient, hessian = row_derivatives(loss, s, y, weight)
    g, h = reference.row_derivatives(loss, LOSSES[loss], s, y)
    scale = 1.0 if weight is None else weight
    # A gradient may be the small difference of two larger terms.
    np.testing.assert_allclose(gradient, g * scale, rtol=6.1e-8, atol=1e-14 * np.exp(8))
    close(hessian, h * scale)


@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_are_differences_of_the_loss(loss, rng):
    s, y = rng.normal(size=200), targets(loss, rng, 200)
    step = 1e-5
    away = np.abs(np.abs(s - y) - LOSSES["huber"]) > step  # kinks have no difference quotient
    away &= np.abs(s - y) > step
    gradient, hessian = row_derivatives(loss, s, y)
    up, down = (reference.row_loss(loss, LOSSES[loss], s + d, y) for d in (step, -step))
    np.testing.assert_allclose(
        gradient[away], ((up - down) / (2 * step))[away], rtol=1e-5, atol=1e-6
    )
    if loss in SMOOTH:
        above, below = (row_derivatives(loss, s + d, y)[0] for d in (1e-2, -1e-2))
        slope = (above.astype(np.float64) - below) / 2e-2
        inside = np.abs(np.abs(s - y) - LOSSES["huber"]) > 2e-2
        inside &= (np.abs(s - y) < LOSSES["huber"]) | (loss != "huber")
        np.testing.assert_allclose(hessian[inside], slope[inside], rtol=2e-3, atol=1e-4)


@pytest.mark.parametrize("loss", LOSSES)
def test_extreme_margins_give_finite_derivatives(loss):
    s = np.array([-1e300, -800.0, -50.0, 0.0, 50.0, 800.0, 1e300])
    s = np.clip(s, -1e30, 1e30) if loss in ("squared",) else s
    gradient, hessian = row_derivatives(loss, s, np.ones(7))
    assert np.isfinite(gradient).all()
    assert np.isfinite(hessian).all()
    assert (hessian > 0).all()


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_softmax_derivatives_match_the_reference(classes, isa, rng):
    n = 517
    s, y = rng.normal(scale=3, size=(classes, n)), rng.integers(0, classes, n).astype(np.int32)
    weight = rng.exponential(size=n)
    gradient, hessian = np.empty((2, classes, n), np.float32)
    _cpu.tree_softmax_gradient(s, y, weight, gradient, hessian)
    g, h = reference.softmax_derivatives(s, y)
    np.testing.assert_allclose(gradient, g * weight, rtol=6.1e-8, atol=1e-14)
    np.testing.assert_allclose(hessian, h * weight, rtol=6.2e-8, atol=1e-14)


@pytest.mark.parametrize("gain", ["ndcg", "map"])
@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("truncation", [1, 4, 100])
def test_rank_derivatives_match_the_reference(gain, normalize, truncation, isa, rng):
    sizes = [1, 2, 0, 17, 30, 5]
    offset = np.append(0, np.cumsum(sizes))
    n = int(offset[-1])
    s = rng.normal(size=n).round(1)  # with ties
    relevance = rng.integers(0, 4, n) * 0.5
    relevance[offset[5] :] = 0  # a query without a relevant row
    gradient, hessian = np.full((2, n), np.nan, np.float32)
    _cpu.tree_rank_gradient(
        gain, s, relevance, offset, None, gradient, hessian, 1.3, truncation, normalize
    )
    for first, last in itertools.pairwise(offset):
        g, h = reference.rank_derivatives(
            gain, s[first:last], relevance[first:last], 1.3, truncation, normalize
        )
        np.testing.assert_allclose(gradient[first:last], g, rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(hessian[first:last], h, rtol=1e-6, atol=1e-9)


def everything(rng):
    """The bytes of every kernel's result on one large input."""
    n = 50_000
    results = []
    for loss in LOSSES:
        s, y = rng.normal(scale=3, size=n), targets(loss, rng, n)
        results += row_derivatives(loss, s, y, rng.exponential(size=n))
    classes = rng.normal(size=(5, n))
    gradient, hessian = np.empty((2, 5, n), np.float32)
    target = rng.integers(0, 5, n).astype(np.int32)
    _cpu.tree_softmax_gradient(classes, target, None, gradient, hessian)
    results += [gradient, hessian]
    offset = np.arange(0, n + 1, 50)
    for gain in ("ndcg", "map"):
        gradient, hessian = np.empty((2, n), np.float32)
        _cpu.tree_rank_gradient(
            gain, classes[0].copy(), target * 1.0, offset, None, gradient, hessian, 1.0, 30, True
        )
        results += [gradient, hessian]
    leaf = rng.integers(0, 40, n).astype(np.int32)
    results.append(_cpu.tree_leaf_quantiles(classes[1].copy(), leaf, 40, 0.3, rng.random(n)))
    margin = classes[2].copy()
    _cpu.tree_add_leaf_values(margin, leaf, rng.normal(size=40))
    results.append(margin)
    results.append(_cpu.tree_sample_rows(n, 0.3, 7, 1))
    gradient, hessian = rng.normal(size=(2, 3, n)).astype(np.float32)
    results += [_cpu.tree_goss(gradient, hessian, 0.2, 0.1, 3, 4), gradient, hessian]
    return b"".join(r.tobytes() for r in results)


def test_bits_depend_on_neither_threads_nor_instruction_set(threads):
    before, seen = _cpu.isa(), set()
    for isa in _cpu.available_isas():
        _cpu.set_isa(isa)
        for count in (1, 2, 4):
            threads(count)
            seen.add(everything(np.random.default_rng(0)))
    _cpu.set_isa(before)
    assert len(seen) == 1


@given(st.integers(0, 60), st.integers(1, 5), st.floats(0, 1), st.booleans(), st.randoms())
def test_leaf_quantiles(n, nodes, level, weighted, random):
    rng = np.random.default_rng(random.getrandbits(32))
    x = rng.integers(-3, 4, n).astype(np.float64)
    leaf = rng.integers(0, nodes, n).astype(np.int32)
    weight = rng.integers(0, 3, n).astype(np.float64) if weighted else np.ones(n)
    got = _cpu.tree_leaf_quantiles(x, leaf, nodes, level, weight if weighted else None)
    expected = [
        reference.weighted_quantile(x[leaf == k], weight[leaf == k], level) for k in range(nodes)
    ]
    assert got.tolist() == expected


def test_leaf_quantiles_of_some_rows(rng):
    x, leaf = rng.normal(size=40), rng.integers(0, 3, 40).astype(np.int32)
    rows = np.sort(rng.permutation(40)[:25]).astype(np.int32)
    got = _cpu.tree_leaf_quantiles(x, leaf, 3, 0.5, None, rows)
    assert got.tolist() == [np.median(x[rows][leaf[rows] == k]) for k in range(3)]


def test_rows_are_drawn_by_their_own_philox_word():
    n = 1000
    words = philox.words(5, 9, n)
    assert _cpu.tree_sample_rows(n, 0.25, 5, 9).tolist() == np.flatnonzero(words < 2**30).tolist()
    assert _cpu.tree_sample_rows(n, 1.0, 5, 9).tolist() != []
    assert _cpu.tree_sample_rows(0, 0.5, 5, 9).shape == (0,)


def test_goss_keeps_the_largest_and_scales_up_the_rest(rng):
    n = 10_000
    gradient, hessian = rng.normal(size=(2, 2, n)).astype(np.float32)
    g, h = gradient.copy(), hessian.copy()
    rows = _cpu.tree_goss(g, h, 0.2, 0.1, 0, 0)
    size = np.abs(gradient[0]) + np.abs(gradient[1])
    top = np.sort(np.argsort(-size, kind="stable")[: n // 5])
    assert np.isin(top, rows).all()
    rest = np.setdiff1d(rows, top)
    assert abs(len(rest) - 1000) < 4 * np.sqrt(1000)
    factor = np.ones(n, np.float32)
    factor[rest] = 8.0
    assert (g == gradient * factor).all()
    assert (h == hessian * factor).all()


def test_goss_takes_ties_from_the_first_row_on():
    ones = np.ones((1, 100), np.float32)
    rows = _cpu.tree_goss(ones, ones.copy(), 0.3, 1e-9, 0, 0)
    assert rows.tolist() == list(range(30))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda f, d: _cpu.tree_row_gradient("cubic", 0, d, d, None, f, f), "loss: expected one"),
        (lambda f, d: _cpu.tree_row_gradient("squared", 0, d, d[:2], None, f, f), "target"),
        (lambda f, d: _cpu.tree_row_gradient("squared", 0, d, d, d[:1], f, f), "weight"),
        (lambda f, d: _cpu.tree_row_gradient("squared", 0, d, d, None, f[:1], f), "gradient"),
        (lambda f, d: _cpu.tree_add_leaf_values(d, np.full(4, 9, np.int32), d), "leaf"),
        (lambda f, d: _cpu.tree_add_leaf_values(d, np.full(4, -1, np.int32), d), "leaf"),
        (
            lambda f, d: _cpu.tree_softmax_gradient(
                d[None], np.ones(4, np.int32), None, f[None], f[None]
            ),
            "target: expected 0 <= value < 1",
        ),
        (
            lambda f, d: _cpu.tree_rank_gradient(
                "ndcg", d, np.zeros(4), np.array([0, 3]), None, f, f, 1, 3, True
            ),
            "query_offset",
        ),
        (lambda f, d: _cpu.tree_sample_rows(4, 1.5, 0, 0), "fraction"),
        (lambda f, d: _cpu.tree_goss(f[None], f[None], 0.9, 0.2, 0, 0), "other_rate"),
        (lambda f, d: _cpu.tree_leaf_quantiles(d, np.zeros(4, np.int32), 1, 1.5), "level"),
    ],
)
def test_what_does_not_fit_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.zeros(4, np.float32), np.zeros(4))
