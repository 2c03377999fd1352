"""layer_norm against float64: forward, backward, residual, strides, edge cases."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.backends import ops
from tests.reference import layer_norm as reference
from tests.tolerance import assert_close

SHAPES = st.tuples(st.integers(0, 5), st.integers(1, 3), st.sampled_from([1, 2, 7, 16, 33, 130]))
EPS = 1e-5


def wide(*arrays):
    return [np.asarray(a, np.float64) for a in arrays]


@given(SHAPES, st.integers(0, 999))
def test_forward(backend, shape, seed):
    x, r = np.random.default_rng(seed).normal(size=(2, *shape)).astype(np.float32)
    w, b = np.random.default_rng(seed).normal(size=(2, shape[-1])).astype(np.float32)
    y, s, mean, rstd = ops.layer_norm(x, w, b, residual=r, eps=EPS, return_stats=True)
    np.testing.assert_array_equal(s, x + r)
    expected = reference.layer_norm(*wide(s, w, b), EPS)
    # The distance from the mean loses what the mean is large by; rstd amplifies it.
    scale = (1 + np.abs(s)) * (1 + rstd[..., None]) * (1 + np.abs(w)) + np.abs(b)
    assert_close(y, expected, ops=6, scale=scale)
    assert_close(mean, wide(s)[0].mean(-1), ops=8, scale=np.abs(s).max(-1, initial=1))
    np.testing.assert_array_equal(ops.layer_norm(s, w, b, eps=EPS), y)


def test_storage_types(backend, dtype, rng):
    x, g = rng.normal(size=(2, 9, 70)).astype(dtype)
    w, b = rng.normal(size=(2, 70)).astype(dtype)
    y, mean, rstd = ops.layer_norm(x, w, b, return_stats=True)
    assert y.dtype == dtype
    assert mean.dtype == (np.float64 if dtype == np.float64 else np.float32)
    assert_close(y, reference.layer_norm(*wide(x, w, b), EPS), ops=16, scale=10.0)
    dx, dw, db = ops.layer_norm_backward(g, x, w, mean, rstd)
    expected = reference.layer_norm_backward(*wide(g, x, w), EPS)
    assert_close(dx, expected[0], ops=30, scale=10.0)
    assert_close(dw, expected[1], ops=30, scale=20.0)
    assert_close(db, expected[2], ops=10, scale=20.0)


@given(SHAPES, st.integers(0, 999))
def test_backward_in_float64_is_the_derivative(shape, seed):
    rng = np.random.default_rng(seed)
    x, g, more = rng.normal(size=(3, *shape))
    w = rng.normal(size=shape[-1])
    _, mean, rstd = ops.layer_norm(x, w, w, return_stats=True)
    dx, dw, db = ops.layer_norm_backward(g, x, w, mean, rstd, grad_sum=more)
    expected = reference.layer_norm_backward(g, x, w, EPS)
    scale = 10 * (1 + rstd.max(initial=1)) ** 2
    np.testing.assert_allclose(dx, expected[0] + more, atol=1e-14 * scale)
    np.testing.assert_allclose(dw, expected[1], atol=1e-13 * scale)
    np.testing.assert_allclose(db, expected[2], atol=1e-13)


def test_without_parameters(rng):
    x, g = rng.normal(size=(2, 4, 10))
    y, mean, rstd = ops.layer_norm(x, return_stats=True)
    np.testing.assert_allclose(y, reference.layer_norm(x, 1.0, 0.0, EPS), atol=1e-14)
    dx, dw, db = ops.layer_norm_backward(g, x, None, mean, rstd)
    np.testing.assert_allclose(dx, reference.layer_norm_backward(g, x, 1.0, EPS)[0], atol=1e-13)
    assert dw is None
    assert db is None


def test_same_at_any_thread_count(threads, rng):
    x, g = rng.normal(size=(2, 700, 64)).astype(np.float32)
    w = rng.normal(size=64).astype(np.float32)
    results = []
    for n in (1, 2, 3):
        threads(n)
        y, mean, rstd = ops.layer_norm(x, w, w, return_stats=True)
        results.append((y, *ops.layer_norm_backward(g, x, w, mean, rstd)))
    for other in results[1:]:
        for one, two in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(one, two)


def test_strides_and_in_place(backend, rng):
    x = rng.normal(size=(6, 20, 5)).astype(np.float32).transpose(0, 2, 1)[::2]
    w = rng.normal(size=40).astype(np.float32)[::2]
    expected = ops.layer_norm(np.ascontiguousarray(x), np.ascontiguousarray(w))
    np.testing.assert_array_equal(ops.layer_norm(x, w), expected)
    own = np.ascontiguousarray(x)
    assert ops.layer_norm(own, w, out=own) is own
    np.testing.assert_array_equal(own, expected)


def test_nan_and_large_values(backend):
    x = np.array([[1, np.nan, 2], [1e19, -1e19, 0], [5, 5, 5]], np.float32)
    y = ops.layer_norm(x)
    assert np.isnan(y[0]).all()
    np.testing.assert_array_equal(y[2], 0)
    far = ops.layer_norm(np.array([[10000.0, 10001.0, 10002.0]], np.float32))
    np.testing.assert_allclose(far, [[-1.2247, 0, 1.2247]], atol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weight": np.ones(3, np.float32)}, "weight"),
        ({"residual": np.ones((2, 5), np.float32)}, "residual"),
        ({"weight": np.ones(4)}, "weight"),
        ({"eps": -1.0}, "eps: expected 0 or more"),
        ({"eps": float("nan")}, "eps"),
        ({"out": np.ones((4, 2), np.float32)}, "out"),
    ],
)
def test_hostile_inputs(arguments, message):
    with pytest.raises((ValueError, TypeError), match=message):
        ops.layer_norm(np.ones((2, 4), np.float32), **arguments)
    with pytest.raises(ValueError, match="at least one axis"):
        ops.layer_norm(np.zeros((), np.float32))
