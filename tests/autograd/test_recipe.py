"""Results that backward computes again: the same gradients, less memory, stale ones noticed."""

import gc
import weakref

import numpy as np
import pytest

from pyllm.autograd import Tensor, keep
from pyllm.nn import Linear
from pyllm.nn import functional as F

RNG = np.random.default_rng(0)
MAKERS = {
    "layer_norm": lambda x, s: F.layer_norm(x, s, s),
    "layer_norm of a sum": lambda x, s: F.layer_norm(x, s, s, residual=x)[0],
    "rms_norm": F.rms_norm,
    "rms_norm of a sum": lambda x, s: F.rms_norm(x, s, residual=x)[0],
    "relu": lambda x, s: F.relu(x * s),
    "gelu": lambda x, s: F.gelu(x * s),
    "gelu_tanh": lambda x, s: F.gelu(x * s, "tanh"),
    "silu": lambda x, s: F.silu(x * s),
    "linear with gelu": lambda x, s: F.linear(x, SQUARE, s, activation="gelu"),
    "linear with silu": lambda x, s: F.linear(x, SQUARE, s, activation="silu"),
}
SQUARE = Tensor(RNG.normal(size=(24, 24)), requires_grad=True)


def inputs():
    x = Tensor(RNG.normal(size=(5, 24)), requires_grad=True)
    return x, Tensor(RNG.normal(size=24) + 2, requires_grad=True)


@pytest.mark.parametrize("maker", MAKERS.values(), ids=MAKERS)
def test_a_recipe_gives_the_result_again(maker):
    result = maker(*inputs())
    made, _ = keep(result)
    assert made() is not result.data
    np.testing.assert_array_equal(made(), result.data)


@pytest.mark.parametrize("maker", MAKERS.values(), ids=MAKERS)
def test_the_result_is_not_kept(maker):
    result = maker(*inputs())
    layer = Linear(24, 7)
    layer.weight.data = layer.weight.data.astype(np.float64)
    layer.bias.data = layer.bias.data.astype(np.float64)
    values, alive = result.data.copy(), weakref.ref(result.data)
    y = layer(result)
    del result
    gc.collect()
    assert alive() is None
    grad = RNG.normal(size=(5, 7))
    y.backward(grad)
    np.testing.assert_allclose(layer.weight.grad.data, grad.T @ values, rtol=1e-12, atol=1e-12)


def test_a_changed_result_is_kept_as_it_is():
    x, scale = inputs()
    normed = F.rms_norm(x, scale)
    normed += 1.0
    made, _ = keep(normed)
    assert made() is normed.data


def test_a_changed_parameter_is_noticed():
    x, scale = inputs()
    shift = Tensor(np.zeros(24), requires_grad=True)
    weight = Tensor(RNG.normal(size=(7, 24)), requires_grad=True)
    y = F.linear(F.layer_norm(x, scale, shift), weight)
    shift.data += 1
    shift.mark_changed()
    with pytest.raises(RuntimeError, match="linear saved has been changed in place"):
        y.backward(np.ones((5, 7)))


def test_without_a_history_there_is_no_recipe():
    x, scale = Tensor(np.ones((2, 8))), Tensor(np.ones(8))
    normed = F.rms_norm(x, scale)
    made, _ = keep(normed)
    assert made() is normed.data
