"""adafactor_step against float64: factored and whole moments, clipping, storage, threads."""

import ml_dtypes
import numpy as np
import pytest

from tests.backends import ops

EPS, LEAST = 1e-30, 1e-3


def reference(p, gradients, *, lr, beta1, weight_decay, clip_threshold, scale_parameter, scale):
    """Shazeer and Stern's algorithms 4 and 5 in float64."""
    p = p.astype(np.float64)
    factored = p.ndim > 1
    row, col = (0.0, 0.0) if factored else (None, None)
    square, moment = 0.0, np.zeros(p.shape)

    def rms(x):
        return np.sqrt(np.mean(x**2))

    for t, gradient in enumerate(gradients, 1):
        g, beta2 = scale * gradient.astype(np.float64), 1 - t**-0.8
        rate = lr * (max(LEAST, rms(p)) if scale_parameter else 1)
        if factored:
            row = beta2 * row + (1 - beta2) * (g**2 + EPS).mean(-1)
            col = beta2 * col + (1 - beta2) * (g**2 + EPS).mean(-2)
            mean = row.mean(-1)[..., None, None]
            u = g / np.sqrt(row[..., None] * col[..., None, :] / mean)
        else:
            square = beta2 * square + (1 - beta2) * (g**2 + EPS)
            u = g / np.sqrt(square)
        u = rate * u / max(1, rms(u) / clip_threshold)
        moment = beta1 * moment + (1 - beta1) * u
        p = p * (1 - rate * weight_decay) - moment
    return p


def ours(p, gradients, *, beta1, scale, **settings):
    dtype = np.float64 if p.dtype == np.float64 else np.float32
    if p.ndim > 1:
        second = {
            "exp_avg_sq_row": np.zeros(p.shape[:-1], dtype),
            "exp_avg_sq_col": np.zeros((*p.shape[:-2], p.shape[-1]), dtype),
        }
    else:
        second = {"exp_avg_sq": np.zeros(p.shape, dtype)}
    moment = np.zeros(p.shape, dtype) if beta1 else None
    for t, gradient in enumerate(gradients, 1):
        ops.adafactor_step(
            p, np.asarray(gradient), **second, exp_avg=moment, beta1=beta1, beta2=1 - t**-0.8,
            grad_scale=scale, **settings,
        )  # fmt: skip
    return p


SHAPES = [(), (1,), (5000,), (1, 1), (3, 70), (200, 17), (70, 300), (2, 3, 65, 9), (1, 9000)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("beta1", [0.0, 0.9])
def test_steps(backend, shape, beta1, rng):
    settings = {"lr": 0.02, "weight_decay": 0.1, "clip_threshold": 0.7, "scale_parameter": True}
    settings |= {"beta1": beta1, "scale": 0.5}
    p = np.asarray(rng.normal(size=shape), np.float32)
    gradients = rng.normal(size=(20, *shape)).astype(np.float32)
    expected = reference(p, gradients, **settings)
    # A step is 0.02 at most in rms; its size and p are rounded a few times each.
    scale = np.abs(expected).max() + 1
    np.testing.assert_allclose(ours(p, gradients, **settings), expected, atol=scale * 40 * 2.0**-24)


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), (2, 0, 3)], ids=str)
def test_nothing_to_do(shape):
    settings = {"lr": 0.1, "beta1": 0.0, "scale": 1.0}
    assert ours(np.ones(shape, np.float32), np.ones((2, *shape), np.float32), **settings).size == 0


@pytest.mark.parametrize("shape", [(40,), (9, 33)], ids=str)
def test_float64_and_a_fixed_rate(shape, rng):
    settings = {"lr": 0.02, "weight_decay": 0.1, "clip_threshold": 1e9, "scale_parameter": False}
    settings |= {"beta1": 0.5, "scale": -1.0}
    p, gradients = rng.normal(size=shape), rng.normal(size=(20, *shape))
    expected = reference(p, gradients, **settings)
    np.testing.assert_allclose(ours(p, gradients, **settings), expected, rtol=1e-11, atol=1e-13)


def test_same_at_any_thread_count(threads, rng):
    start = rng.normal(size=(700, 300)).astype(np.float32)
    gradients = rng.normal(size=(3, 700, 300)).astype(np.float32)
    results = set()
    for n in (1, 2, 3):
        threads(n)
        p = ours(start.copy(), gradients, lr=0.1, beta1=0.0, scale=1.0)
        results.add(p.tobytes())
    assert len(results) == 1


def test_bfloat16_follows_its_master(rng):
    exact = rng.normal(size=(20, 30)).astype(np.float32)
    master, p = exact.copy(), exact.astype(ml_dtypes.bfloat16)
    gradients = rng.normal(size=(10, 20, 30)).astype(ml_dtypes.bfloat16)
    settings = {"lr": 1e-3, "beta1": 0.0, "scale": 1.0}
    ours(exact, gradients.astype(np.float32), **settings)
    ours(p, gradients, master=master, **settings)
    np.testing.assert_array_equal(master, exact)
    np.testing.assert_array_equal(p, exact.astype(ml_dtypes.bfloat16))


def test_nan_shows(rng):
    p, gradient = rng.normal(size=(2, 8, 8)).astype(np.float32)
    gradient[3, 3] = np.nan
    assert np.isnan(ours(p, gradient[None], lr=0.1, beta1=0.0, scale=1.0)).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"exp_avg_sq_row": np.ones(5, np.float32)}, "exp_avg_sq_row"),
        ({"exp_avg_sq_col": None}, "exp_avg_sq_col"),
        ({"exp_avg_sq": np.ones(4, np.float32)}, "exp_avg_sq"),
        ({"param": np.ones(4, np.float32), "grad": np.ones(4, np.float32)}, "exp_avg_sq: needed"),
        ({"beta2": 1.5}, "beta2: expected 0 <= x < 1"),
        ({"clip_threshold": 0.0}, "clip_threshold"),
        ({"param": np.ones((5, 4), np.float32).T}, "param"),
    ],
)
def test_hostile_inputs(change, message):
    arrays = {name: np.ones((4, 5), np.float32) for name in ("param", "grad")}
    arrays |= {"exp_avg_sq_row": np.ones(4, np.float32), "exp_avg_sq_col": np.ones(5, np.float32)}
    with pytest.raises((ValueError, TypeError), match=message):
        ops.adafactor_step(**{**arrays, "lr": 0.1, "beta2": 0.5, **change})
