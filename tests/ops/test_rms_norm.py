"""rms_norm against float64: forward, backward, residual, strides, edge cases."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.backends import ops
from tests.reference import rms_norm as reference
from tests.tolerance import assert_close

SHAPES = st.tuples(st.integers(0, 5), st.integers(1, 3), st.sampled_from([1, 2, 7, 16, 33, 130]))
EPS = 1e-6


def wide(*arrays):
    return [np.asarray(a, np.float64) for a in arrays]


@given(SHAPES, st.integers(0, 999))
def test_forward(backend, shape, seed):
    x, r = np.random.default_rng(seed).normal(size=(2, *shape)).astype(np.float32)
    w = np.random.default_rng(seed).normal(size=shape[-1]).astype(np.float32)
    y, s, rstd = ops.rms_norm(x, w, residual=r, eps=EPS, return_stats=True)
    np.testing.assert_array_equal(s, x + r)
    # Every term is positive: the sum of n squares in vector lanes loses a few roundings.
    expected = reference.rms_norm(*wide(s, w), EPS)
    assert_close(y, expected, ops=16)
    assert_close(rstd, 1 / np.sqrt((wide(s)[0] ** 2).mean(-1) + EPS), ops=16)
    np.testing.assert_array_equal(ops.rms_norm(s, w, eps=EPS), y)


def test_storage_types(backend, dtype, rng):
    x, g, more = rng.normal(size=(3, 9, 70)).astype(dtype)
    w = rng.normal(size=70).astype(dtype)
    y, rstd = ops.rms_norm(x, w, return_stats=True)
    assert y.dtype == dtype
    assert_close(y, reference.rms_norm(*wide(x, w), EPS), ops=16)
    dx, dw = ops.rms_norm_backward(g, x, w, rstd, grad_sum=more)
    expected = reference.rms_norm_backward(*wide(g, x, w), EPS)
    assert_close(dx, expected[0] + wide(more)[0], ops=30, scale=10.0)
    assert_close(dw, expected[1], ops=30, scale=20.0)


@given(SHAPES, st.integers(0, 999))
def test_backward_in_float64_is_the_derivative(shape, seed):
    rng = np.random.default_rng(seed)
    x, g = rng.normal(size=(2, *shape))
    w = rng.normal(size=shape[-1])
    _, rstd = ops.rms_norm(x, w, return_stats=True)
    dx, dw = ops.rms_norm_backward(g, x, w, rstd)
    expected = reference.rms_norm_backward(g, x, w, EPS)
    scale = 10 * (1 + rstd.max(initial=1)) ** 2
    np.testing.assert_allclose(dx, expected[0], atol=1e-14 * scale)
    np.testing.assert_allclose(dw, expected[1], atol=1e-13 * scale)
    if x.size:  # and by differences, in one random direction
        step, way = 1e-6, rng.normal(size=x.shape)
        up, down = (ops.rms_norm(x + sign * step * way, w) for sign in (1, -1))
        slope = ((up - down) * g).sum() / (2 * step)
        assert slope == pytest.approx((dx * way).sum(), rel=1e-5, abs=1e-5 * scale)


def test_weights_of_float32_with_16_bit_inputs(backend, dtype, rng):
    x, g = rng.normal(size=(2, 5, 40)).astype(dtype)
    if dtype == np.float64:
        return
    w = rng.normal(size=40).astype(np.float32)
    y, rstd = ops.rms_norm(x, w, return_stats=True)
    assert_close(y, reference.rms_norm(*wide(x, w), EPS), ops=16)
    _, dw = ops.rms_norm_backward(g, x, w, rstd)
    assert dw.dtype == np.float32
    assert_close(dw, reference.rms_norm_backward(*wide(g, x, w), EPS)[1], ops=30, scale=10.0)


def test_same_at_any_thread_count(threads, rng):
    x, g = rng.normal(size=(2, 700, 64)).astype(np.float32)
    w = rng.normal(size=64).astype(np.float32)
    results = []
    for n in (1, 2, 3):
        threads(n)
        y, rstd = ops.rms_norm(x, w, return_stats=True)
        got = (y, *ops.rms_norm_backward(g, x, w, rstd))
        results.append(b"".join(a.tobytes() for a in got))
    assert len(set(results)) == 1


def test_strides_in_place_and_special_values(backend, rng):
    x = rng.normal(size=(6, 20, 5)).astype(np.float32).transpose(0, 2, 1)[::2]
    w = rng.normal(size=40).astype(np.float32)[::2]
    expected = ops.rms_norm(np.ascontiguousarray(x), w)
    np.testing.assert_array_equal(ops.rms_norm(x, w), expected)
    own = np.ascontiguousarray(x)
    assert ops.rms_norm(own, w, out=own) is own
    np.testing.assert_array_equal(own, expected)
    y = ops.rms_norm(np.array([[0, 0], [np.nan, 1]], np.float32))
    np.testing.assert_array_equal(y[0], 0)
    assert np.isnan(y[1]).all()
    assert ops.rms_norm(np.zeros((3, 0), np.float32)).shape == (3, 0)


def test_hostile_inputs():
    x = np.ones((2, 4), np.float32)
    with pytest.raises(ValueError, match="weight: expected shape"):
        ops.rms_norm(x, np.ones(3, np.float32))
    with pytest.raises(TypeError, match="weight: expected dtype"):
        ops.rms_norm(x, np.ones(4, np.float16))
    with pytest.raises(ValueError, match="eps: expected 0 or more"):
        ops.rms_norm(x, eps=-1)
    with pytest.raises(ValueError, match="residual: expected shape"):
        ops.rms_norm(x, residual=x[:1])
    with pytest.raises(ValueError, match="rstd: expected shape"):
        ops.rms_norm_backward(x, x, None, np.ones(3, np.float32))
    with pytest.raises(ValueError, match="at least one axis"):
        ops.rms_norm(np.ones((), np.float32))
