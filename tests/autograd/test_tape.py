"""The tape: sums of gradients, buffers, freeing, errors."""

import gc
import weakref

import numpy as np
import pytest

from pyllm.autograd import Tensor, no_grad, record
from pyllm.nn import FlatParameters, Linear, Parameter
from pyllm.nn import functional as F


def square(x):
    return record("square", x.data**2, (x,), lambda g: (2 * x.data * g,))


def test_gradients_of_all_paths_are_added():
    x = Tensor(np.array([3.0]), requires_grad=True)
    y = square(x)
    (y + y + square(y)).backward()  # 2 x^2 + x^4
    np.testing.assert_allclose(x.grad.data, [4 * 3 + 4 * 27])


def test_broadcast_sums_back():
    x = Tensor(np.ones((2, 3)), requires_grad=True)
    b = Tensor(np.ones((1, 3)), requires_grad=True)
    c = Tensor(np.ones(3), requires_grad=True)
    (x + b + c).backward(np.arange(6.0).reshape(2, 3))
    np.testing.assert_array_equal(b.grad.data, [[3, 5, 7]])
    np.testing.assert_array_equal(c.grad.data, [3, 5, 7])


def test_calls_accumulate_until_zero_grad():
    x = Tensor(np.array([3.0]), requires_grad=True)
    for expected in (6, 12):
        square(x).backward()
        np.testing.assert_array_equal(x.grad.data, [expected])
    x.zero_grad()
    assert x.grad is None


def test_an_output_that_is_not_used_counts_for_nothing():
    x = Tensor(np.ones(2), requires_grad=True)
    double, _ = record(
        "both",
        (2 * x.data, 3 * x.data),
        (x,),
        lambda a, b: (2 * a if b is None else 2 * a + 3 * b,),
    )
    double.backward(np.ones(2))
    np.testing.assert_array_equal(x.grad.data, [2, 2])


def test_deep_graphs_need_no_recursion():
    x = Tensor(np.array([1.0]), requires_grad=True)
    y = x
    for _ in range(5000):
        y = y * 1.0
    y.backward()
    np.testing.assert_array_equal(x.grad.data, [1])


def test_buffers_take_the_first_gradient_and_add_the_next(rng):
    layer = Linear(3, 4)
    layer.weight.data[...] = rng.normal(size=(4, 3))
    x = rng.normal(size=(5, 3)).astype(np.float32)

    def backward():
        F.linear(Tensor(x), layer.weight, layer.bias).backward(np.ones((5, 4), np.float32))

    backward()
    plain = layer.weight.grad.data.copy()
    flat = FlatParameters(layer.parameters())
    flat.grad[...] = 77  # of an earlier step
    for times in (1, 2):
        backward()
        np.testing.assert_allclose(flat.grad[:12].reshape(4, 3), times * plain, rtol=1e-6)
    layer.zero_grad()
    backward()
    np.testing.assert_allclose(layer.weight.grad.data, plain, rtol=1e-6)
    assert layer.weight.grad.data.base is flat.grad


def head(rng):
    weight = Parameter(rng.normal(size=(11, 4)).astype(np.float32))
    hidden = rng.normal(size=(2, 6, 4)).astype(np.float32)
    targets = rng.integers(0, 11, 6)

    def loss(i):
        return F.linear_cross_entropy(Tensor(hidden[i]), weight, targets)

    return weight, loss


@pytest.mark.parametrize("order", ["usual", "zero_grad late", "abandoned", "kept", "two", "scaled"])
def test_a_gradient_computed_ahead_counts_exactly_once(order, rng):
    weight, loss = head(rng)
    expected = []
    for i in range(2):
        weight.zero_grad()
        loss(i).backward()
        expected.append(weight.grad.data.copy())
    weight.set_grad_buffer(np.full((11, 4), 77, np.float32))
    wanted = expected[0]
    if order == "usual":
        loss(0).backward()
    elif order == "zero_grad late":
        result = loss(0)
        weight.zero_grad()
        result.backward()
    elif order == "abandoned":
        loss(1)
        loss(0).backward()
    elif order == "kept":
        kept = loss(1)
        loss(0).backward()
        assert kept.requires_grad
    elif order == "two":
        one, two = loss(0), loss(1)
        two.backward()
        one.backward()
        wanted = expected[0] + expected[1]
    else:
        one, two = loss(0), loss(1)
        (one / 2 + two / 4).backward()
        wanted = expected[0] / 2 + expected[1] / 4
    np.testing.assert_allclose(weight.grad.data, wanted, atol=1e-7)


def test_hooks_see_and_change_gradients():
    x = Tensor(np.array([3.0]), requires_grad=True)
    seen = []
    x.hooks += [lambda g: seen.append(g.copy()), lambda g: g * 10]
    square(x).backward()
    np.testing.assert_array_equal(seen, [[6]])
    np.testing.assert_array_equal(x.grad.data, [60])


def test_no_grad_records_nothing():
    x = Tensor(np.ones(1), requires_grad=True)
    with no_grad():
        y = square(x)
    assert not y.requires_grad
    assert square(x).requires_grad
    with pytest.raises(RuntimeError, match="needs no gradient"):
        y.backward()
    with pytest.raises(RuntimeError, match="needs no gradient"):
        square(x).detach().backward()


def test_saved_values_are_freed_by_backward():
    class Saved:
        pass

    saved = Saved()
    alive = weakref.ref(saved)
    x = Tensor(np.ones(1), requires_grad=True)
    y = record("op", x.data, (x,), lambda g, kept=saved: (g,))
    del saved
    y.backward()
    gc.collect()
    assert alive() is None


def test_errors():
    x = Tensor(np.ones(2), requires_grad=True)
    y = square(x)
    with pytest.raises(ValueError, match="needed for a result of shape"):
        y.backward()
    with pytest.raises(ValueError, match=r"expected shape \(2,\), got \(3,\)"):
        y.backward(np.ones(3))
    y.backward(np.ones(2))
    with pytest.raises(RuntimeError, match="square has been gone through before"):
        y.backward(np.ones(2))
    with pytest.raises(TypeError, match="int64 has no gradient"):
        Tensor(np.ones(2, np.int64), requires_grad=True)
    with pytest.raises(ValueError, match="expected shape"):
        Parameter(np.ones(2)).set_grad_buffer(np.ones(3))
