"""Custom functions."""

import numpy as np
import pytest

from pyllm.autograd import Function, Tensor, no_grad
from tests.autograd.differences import check_gradients


class Cube(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return 3 * x**2 * grad


class SumAndProduct(Function):
    @staticmethod
    def forward(ctx, x, factor, y):
        ctx.save_for_backward(x, y)
        ctx.factor = factor
        return Tensor(x.data + factor * y.data), x * y

    @staticmethod
    def backward(ctx, to_sum, to_product):
        x, y = ctx.saved_tensors
        dx = to_sum + to_product * y if ctx.needs_input_grad[0] else None
        dy = to_sum * ctx.factor + to_product * x if ctx.needs_input_grad[2] else None
        return dx, None, dy


class Exp(Function):
    """Saves its result."""

    @staticmethod
    def forward(ctx, x):
        y = x.exp()
        ctx.save_for_backward(y, None)
        return y

    @staticmethod
    def backward(ctx, grad):
        y, nothing = ctx.saved_tensors
        assert nothing is None
        return y * grad


def test_gradients(rng):
    x, y = rng.normal(size=(2, 3)), rng.normal(size=(2, 3))
    check_gradients(Cube.apply, x)
    check_gradients(lambda t: Exp.apply(t * 2), x)
    for k in range(2):
        check_gradients(lambda a, b, k=k: SumAndProduct.apply(a, 0.5, b)[k], x, y)
    check_gradients(lambda a: SumAndProduct.apply(a, 2, Tensor(y))[1], x)
    check_gradients(lambda a: SumAndProduct.apply(Tensor(y), 2, a)[1] * a, x)


def test_missing_gradients_can_be_none():
    class Two(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.set_materialize_grads(False)
            return x * 1, x * 2

        @staticmethod
        def backward(ctx, a, b):
            assert b is None
            return a

    x = Tensor(np.ones(2), requires_grad=True)
    Two.apply(x)[0].backward(np.ones(2))
    np.testing.assert_array_equal(x.grad.data, [1, 1])


def test_results_without_a_gradient():
    class Largest(Function):
        @staticmethod
        def forward(ctx, x):
            place = x.argmax()
            ctx.mark_non_differentiable(place)
            ctx.place, ctx.size = place.item(), x.size
            return x.max(), place

        @staticmethod
        def backward(ctx, grad, _):
            made = np.zeros(ctx.size)
            made[ctx.place] = grad.item()
            return Tensor(made)

    x = Tensor(np.array([1.0, 5.0, 2.0]), requires_grad=True)
    value, place = Largest.apply(x)
    assert not place.requires_grad
    (value * 2).backward()
    np.testing.assert_array_equal(x.grad.data, [0, 2, 0])


def test_without_recording():
    x = Tensor(np.ones(2), requires_grad=True)
    with no_grad():
        assert not Cube.apply(x).requires_grad
    assert not Cube.apply(Tensor(np.ones(2))).requires_grad


def test_changes_of_saved_values_are_noticed():
    x = Tensor(np.ones(2), requires_grad=True)
    hidden = x * 1
    y = Cube.apply(hidden)
    hidden += 1
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward(np.ones(2))
    y = Exp.apply(x)
    y *= 2
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward(np.ones(2))


def test_second_backward():
    x = Tensor(np.ones(2), requires_grad=True)
    y = Cube.apply(x)
    y.backward(np.ones(2))
    with pytest.raises(RuntimeError, match="Cube has been gone through before"):
        y.backward(np.ones(2))


def returning(forward, backward):
    body = {"forward": staticmethod(forward), "backward": staticmethod(backward)}
    return type("Odd", (Function,), body)


def test_errors():
    x = Tensor(np.ones(2), requires_grad=True)

    def same(ctx, t):
        return t * 1

    with pytest.raises(TypeError, match="Cube: expected a tensor among the arguments"):
        Cube.apply(3)
    with pytest.raises(TypeError, match=r"Odd.forward: expected tensors, got int"):
        returning(lambda ctx, t: 3, None).apply(x)
    with pytest.raises(RuntimeError, match="expected 1 gradients, one an argument, got 2"):
        returning(same, lambda ctx, g: (g, g)).apply(x).sum().backward()
    with pytest.raises(RuntimeError, match=r"gradient 0 has shape \(1,\), expected \(2,\)"):
        returning(same, lambda ctx, g: g[:1]).apply(x).sum().backward()
    with pytest.raises(RuntimeError, match="argument 1 is no tensor, return None"):
        returning(lambda ctx, t, n: t * n, lambda ctx, g: (g, g)).apply(x, 2).sum().backward()
    with pytest.raises(NotImplementedError, match="define forward"):
        Function.apply(x)
