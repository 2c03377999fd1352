"""adam_step and adamw_step against float64, the norm, bfloat16 with a master copy."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.backends import ops

SETTINGS = {"lr": 0.02, "beta1": 0.9, "beta2": 0.95, "eps": 1e-8, "weight_decay": 0.1}


def reference(p, gradients, *, lr, beta1, beta2, eps, weight_decay, decoupled, scale=1.0):
    p, m, v = p.astype(np.float64), np.zeros(p.shape), np.zeros(p.shape)
    for t, gradient in enumerate(gradients, 1):
        g = gradient.astype(np.float64) * scale
        if decoupled:
            p = p * (1 - lr * weight_decay)
        else:
            g = g + weight_decay * p
        m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g * g
        p = p - lr * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + eps)
    return p


@pytest.mark.parametrize("step", [ops.adam_step, ops.adamw_step])
@pytest.mark.parametrize("n", [0, 1, 15, 1000, 40_000])
def test_steps(backend, step, n, rng):
    p = rng.normal(size=n).astype(np.float32)
    gradients = rng.normal(size=(20, n)).astype(np.float32)
    decoupled = step is ops.adamw_step
    expected = reference(p, gradients, decoupled=decoupled, scale=0.5, **SETTINGS)
    m, v = np.zeros((2, n), np.float32)
    for t, gradient in enumerate(gradients, 1):
        step(p, gradient, m, v, step=t, grad_scale=0.5, **SETTINGS)
    # Each step rounds p once, and its own size lr a few times.
    np.testing.assert_allclose(p, expected, atol=20 * (4 + 10 * 0.02) * 2.0**-24)


def test_float64(rng):
    p, m, v = rng.normal(size=(3, 100))
    m[:], v[:] = 0, 0
    gradients = rng.normal(size=(20, 100))
    expected = reference(p, gradients, decoupled=True, **SETTINGS)
    for t, gradient in enumerate(gradients, 1):
        ops.adamw_step(p, gradient, m, v, step=t, **SETTINGS)
    np.testing.assert_allclose(p, expected, rtol=1e-13)


def test_amsgrad_never_forgets_a_large_gradient(backend, rng):
    p, m, v, largest = np.zeros((4, 50), np.float32)
    settings = {"lr": 0.1, "beta2": 0.9, "max_exp_avg_sq": largest}
    ops.adam_step(p, np.full(50, 100, np.float32), m, v, step=1, **settings)
    for t in range(2, 60):
        ops.adam_step(p, np.full(50, 1e-3, np.float32), m, v, step=t, **settings)
    np.testing.assert_allclose(largest, 0.1 * 100**2, rtol=1e-6)
    assert (v < 0.1 * largest).all()


def test_bfloat16_follows_its_master(backend, rng):
    exact = rng.normal(size=500).astype(np.float32)
    expected, master = exact.copy(), exact.copy()
    p = exact.astype(ml_dtypes.bfloat16)
    states = np.zeros((4, 500), np.float32)
    for t in range(1, 30):
        gradient = rng.normal(size=500).astype(np.float32)
        ops.adamw_step(expected, gradient, states[0], states[1], lr=1e-4, step=t)
        ops.adamw_step(p, gradient, states[2], states[3], lr=1e-4, step=t, master=master)
    np.testing.assert_array_equal(master, expected)
    np.testing.assert_array_equal(p, expected.astype(ml_dtypes.bfloat16))


@given(st.integers(0, 200_000), st.integers(0, 99))
def test_sum_of_squares(backend, n, seed):
    x = np.random.default_rng(seed).normal(size=n).astype(np.float32)
    expected = (x.astype(np.float64) ** 2).sum()
    assert ops.sum_of_squares(x) == pytest.approx(expected, rel=1e-6)


def test_sum_is_the_same_at_any_thread_count(threads, rng):
    x = rng.normal(size=300_000).astype(np.float32)
    sums = set()
    for n in (1, 2, 3):
        threads(n)
        sums.add(ops.sum_of_squares(x))
    assert len(sums) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"grad": np.ones(3, np.float32)}, "grad"),
        ({"exp_avg": np.ones(4)}, "exp_avg"),
        ({"step": 0}, "step: counted from 1"),
        ({"beta1": 1.0}, "beta1: expected 0 <= x < 1"),
        ({"beta2": -0.1}, "beta2"),
        ({"master": np.ones(4, np.float32)}, "master: only 16-bit parameters"),
        ({"param": np.ones((2, 2), np.float32)}, "param"),
        ({"param": np.ones(4)}, "grad: expected dtype float64"),
        ({"param": np.ones(4, np.int32)}, "param"),
        ({"max_exp_avg_sq": np.ones(4)}, "max_exp_avg_sq"),
        ({"exp_avg": None}, "exp_avg"),
        ({"exp_avg_sq": None}, "exp_avg_sq"),
        ({"param": np.broadcast_to(np.float32(1), 4)}, "param"),
    ],
)
def test_hostile_inputs(change, message):
    arrays = {name: np.ones(4, np.float32) for name in ("param", "grad", "exp_avg", "exp_avg_sq")}
    with pytest.raises((ValueError, TypeError), match=message):
        ops.adamw_step(**{**arrays, "lr": 0.1, "step": 1, **change})
