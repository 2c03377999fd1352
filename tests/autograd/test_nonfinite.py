"""Overflow and division by zero: the values of IEEE 754, forward and backward, no warnings."""

import warnings

import numpy as np
import pytest

from pyllm.autograd import Tensor

CASES = {
    "exp": (lambda x: x.exp(), 1000.0, np.inf, np.inf),
    "log": (lambda x: x.log(), 0.0, -np.inf, np.inf),
    "log below 0": (lambda x: x.log(), -1.0, np.nan, -1.0),
    "sqrt": (lambda x: x.sqrt(), 0.0, 0.0, np.inf),
    "sin": (lambda x: x.sin(), np.inf, np.nan, np.nan),
    "product": (lambda x: x * 10, 3e38, np.inf, 10.0),
    "square": (lambda x: x**2, 3e38, np.inf, np.inf),
    "inverse": (lambda x: 1 / x, 0.0, np.inf, -np.inf),
    "power": (lambda x: x**-1, 0.0, np.inf, -np.inf),
    "difference": (lambda x: x - np.float32(np.inf), np.inf, np.nan, 1.0),
    "sum": (lambda x: (x.expand(2)).sum(), 3e38, np.inf, 2.0),
    "narrowed": (lambda x: x.astype(np.float16), 3e38, np.inf, 1.0),
}


@pytest.mark.parametrize("name", CASES)
def test_silent(name):
    function, value, result, slope = CASES[name]
    x = Tensor(np.array([value], np.float32), requires_grad=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        y = function(x)
        y.backward()
    np.testing.assert_array_equal(y.data.reshape(1), np.array([result], y.dtype))
    np.testing.assert_array_equal(x.grad.data, np.array([slope], np.float32))


def test_integers_to_a_trained_power():
    y = Tensor(np.array([0.5, 2.0], np.float32), requires_grad=True)
    z = Tensor(np.array([4, 3])) ** y
    z.backward(np.ones(2, np.float32))
    np.testing.assert_allclose(z.data, [2, 9], rtol=1e-6)
    np.testing.assert_allclose(y.grad.data, [2 * np.log(4), 9 * np.log(3)], rtol=1e-6)
