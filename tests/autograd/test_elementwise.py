"""Functions of each element: values, gradients by differences, edges."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes

from pyllm.autograd import Tensor
from tests.autograd.differences import check_gradients

FUNCTIONS = {
    "exp": (lambda t: t.exp(), np.exp, (-2, 2)),
    "log": (lambda t: t.log(), np.log, (0.2, 2)),
    "sqrt": (lambda t: t.sqrt(), np.sqrt, (0.2, 2)),
    "sin": (lambda t: t.sin(), np.sin, (-3, 3)),
    "cos": (lambda t: t.cos(), np.cos, (-3, 3)),
    "tanh": (lambda t: t.tanh(), np.tanh, (-2, 2)),
    "sigmoid": (lambda t: t.sigmoid(), lambda x: 1 / (1 + np.exp(-x)), (-4, 4)),
    "abs": (lambda t: abs(t), np.abs, (0.1, 2)),
    "negative abs": (lambda t: (-t).abs(), np.abs, (0.1, 2)),
    "clip": (lambda t: t.clip(-0.5, 0.75), lambda x: np.clip(x, -0.5, 0.75), (-2, 2)),
    "clip below": (lambda t: t.clip(low=0.25), lambda x: np.maximum(x, 0.25), (-2, 2)),
    "clip above": (lambda t: t.clip(high=0.25), lambda x: np.minimum(x, 0.25), (-2, 2)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@given(shape=array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3), seed=st.integers(0, 99))
def test_values_and_gradients(name, shape, seed):
    function, reference, (low, high) = FUNCTIONS[name]
    x = np.random.default_rng(seed).uniform(low, high, shape)
    np.testing.assert_allclose(function(Tensor(x)).data, reference(x), rtol=4e-16, atol=1e-16)
    check_gradients(function, x)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("kind", [np.float16, ml_dtypes.bfloat16])
def test_16_bit_is_rounded_once(name, kind, rng):
    function, reference, (low, high) = FUNCTIONS[name]
    x = rng.uniform(low, high, 50).astype(kind)
    leaf = Tensor(x, requires_grad=True)
    y = function(leaf)
    wide = Tensor(x.astype(np.float64), requires_grad=True)
    function(wide).backward(np.ones(50))
    y.backward(np.ones(50))
    unit = float(ml_dtypes.finfo(kind).eps)
    assert y.dtype == leaf.grad.dtype == kind
    np.testing.assert_allclose(
        y.data.astype(np.float64), reference(x.astype(np.float64)), rtol=0.51 * unit
    )
    # The slope may be computed from the rounded result: a roundoff of y each in y and 1 - y.
    np.testing.assert_allclose(
        leaf.grad.data.astype(np.float64), wide.grad.data, rtol=1.1 * unit, atol=1.1 * unit
    )


def test_sigmoid_at_the_ends():
    x = np.array([-np.inf, -1000, -80, 0, 80, 1000, np.inf, np.nan], np.float32)
    with np.errstate(all="raise", under="ignore"):
        y = Tensor(x).sigmoid().data
    np.testing.assert_array_equal(y[[0, 1, 3, 4, 5, 6]], [0, 0, 0.5, 1, 1, 1])
    assert y[2] == pytest.approx(np.exp(-80.0), rel=1e-6)
    assert np.isnan(y[7])


def test_slopes_where_there_is_none():
    x = Tensor(np.array([-1.0, 0.0, 2.0]), requires_grad=True)
    x.abs().backward(np.ones(3))
    np.testing.assert_array_equal(x.grad.data, [-1, 0, 1])
    x.zero_grad()
    x.clip(-1, 0).backward(np.ones(3))
    np.testing.assert_array_equal(x.grad.data, [1, 1, 0])
    x.zero_grad()
    x.log().backward(np.ones(3))
    np.testing.assert_array_equal(x.grad.data, [-1, np.inf, 0.5])
    assert np.isnan(Tensor(np.array([-1.0])).sqrt().data)


def test_integers_become_float32():
    x = Tensor(np.array([1, 4]))
    for name in ("exp", "log", "sqrt", "sin", "cos", "tanh", "sigmoid"):
        assert getattr(x, name)().dtype == np.float32
    assert x.abs().dtype == np.int64


def test_astype():
    x = Tensor(np.array([1.0, 2.5], np.float32), requires_grad=True)
    y = x.astype(ml_dtypes.bfloat16)
    assert y.dtype == ml_dtypes.bfloat16
    (y * 2).backward(np.ones(2))
    assert x.grad.dtype == np.float32
    np.testing.assert_array_equal(x.grad.data, [2, 2])
    assert x.astype(np.float32) is x
    assert not x.astype(np.int32).requires_grad


def test_errors():
    x = Tensor(np.ones(2))
    with pytest.raises(ValueError, match="clip: expected low, high or both"):
        x.clip()
    with pytest.raises(ValueError, match="low: expected at most high = 1, got 2"):
        x.clip(2, 1)
