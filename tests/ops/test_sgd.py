"""sgd_step against float64: momentum, dampening, Nesterov, decay; storage types; bad input."""

import ml_dtypes
import numpy as np
import pytest

from tests.backends import ops


def reference(p, gradients, *, lr, momentum, dampening, weight_decay, nesterov, scale):
    p, buffer = p.astype(np.float64), np.zeros(p.shape)
    for t, gradient in enumerate(gradients):
        g = scale * gradient.astype(np.float64) + weight_decay * p
        buffer = momentum * buffer + (1 - dampening) * g if t else g
        step = g + momentum * buffer if nesterov else buffer if momentum else g
        p = p - lr * step
    return p


@pytest.mark.parametrize("n", [0, 1, 15, 1000, 40_000])
@pytest.mark.parametrize(
    ("momentum", "dampening", "nesterov"),
    [(0.0, 0.0, False), (0.9, 0.0, False), (0.9, 0.3, False), (0.9, 0.0, True)],
)
def test_steps(backend, n, momentum, dampening, nesterov, rng):
    settings = {"lr": 0.05, "momentum": momentum, "dampening": dampening}
    settings |= {"nesterov": nesterov, "weight_decay": 0.1}
    p = rng.normal(size=n).astype(np.float32)
    gradients = rng.normal(size=(20, n)).astype(np.float32)
    expected = reference(p, gradients, scale=-0.5, **settings)
    buffer = np.full(n, np.nan, np.float32) if momentum else None
    if buffer is not None:
        buffer[:] = 7  # the first step must not care
    for t, gradient in enumerate(gradients):
        ops.sgd_step(p, gradient, buffer, first=t == 0, grad_scale=-0.5, **settings)
    # A step rounds p once (|p| < 8) and its own size, below 1, a few times.
    np.testing.assert_allclose(p, expected, atol=20 * (8 + 5) * 2.0**-24)


@pytest.mark.parametrize("storage", [ml_dtypes.bfloat16, np.float16])
def test_sixteen_bits_follow_their_master(backend, storage, rng):
    exact = rng.normal(size=500).astype(np.float32)
    master, p = exact.copy(), exact.astype(storage)
    for _ in range(30):
        gradient = rng.normal(size=500).astype(storage)
        ops.sgd_step(exact, gradient.astype(np.float32), lr=1e-3)
        ops.sgd_step(p, gradient, lr=1e-3, master=master)
    np.testing.assert_array_equal(master, exact)
    np.testing.assert_array_equal(p, exact.astype(storage))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"momentum": 0.9}, "momentum_buffer: momentum and Nesterov"),
        ({"nesterov": True}, "momentum_buffer"),
        ({"momentum_buffer": np.ones(5, np.float32)}, "momentum_buffer"),
        ({"grad": np.ones(4, np.float16)}, "grad: expected dtype float32"),
        ({"param": np.ones((2, 2), np.float32)}, "param"),
    ],
)
def test_hostile_inputs(change, message):
    arrays = {name: np.ones(4, np.float32) for name in ("param", "grad")}
    with pytest.raises((ValueError, TypeError), match=message):
        ops.sgd_step(**{**arrays, "lr": 0.1, **change})
