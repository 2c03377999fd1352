"""lion_step against float64, the sign of nothing and of NaN, bad input."""

import numpy as np
import pytest

from tests.backends import ops


@pytest.mark.parametrize("n", [0, 1, 15, 1000, 40_000])
def test_steps(backend, n, rng):
    lr, beta1, beta2, decay = 0.05, 0.9, 0.99, 0.1
    p = rng.normal(size=n).astype(np.float32)
    m = np.zeros(n, np.float32)
    exact, moment = p.astype(np.float64), np.zeros(n)
    for _ in range(20):
        gradient = rng.normal(size=n).astype(np.float32)
        mixed = beta1 * moment + (1 - beta1) * gradient * 0.5
        clear = np.abs(mixed) > 1e-5  # beyond float32's doubt about the sign
        gradient[~clear] = 1
        mixed = beta1 * moment + (1 - beta1) * gradient * 0.5
        exact = exact * (1 - lr * decay) - lr * np.sign(mixed)
        moment = beta2 * moment + (1 - beta2) * gradient * 0.5
        ops.lion_step(
            p, gradient, m, lr=lr, beta1=beta1, beta2=beta2, weight_decay=decay, grad_scale=0.5
        )
    np.testing.assert_allclose(p, exact, atol=20 * 8 * 2.0**-24)
    np.testing.assert_allclose(m, moment, atol=20 * 2.0**-24)


def test_signs(backend):
    p = np.zeros(5, np.float32)
    gradient = np.array([0, -0.0, 3, -1e-30, np.nan], np.float32)
    ops.lion_step(p, gradient, np.zeros(5, np.float32), lr=0.5)
    np.testing.assert_array_equal(p, [0, 0, -0.5, 0.5, np.nan])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"beta1": 1.0}, "beta1: expected 0 <= x < 1"),
        ({"exp_avg": np.ones(5, np.float32)}, "exp_avg"),
        ({"exp_avg": np.broadcast_to(np.float32(1), 4)}, "exp_avg"),
        ({"grad": np.ones(3, np.float32)}, "grad"),
    ],
)
def test_hostile_inputs(change, message):
    arrays = {name: np.ones(4, np.float32) for name in ("param", "grad", "exp_avg")}
    with pytest.raises((ValueError, TypeError), match=message):
        ops.lion_step(**{**arrays, "lr": 0.1, **change})
