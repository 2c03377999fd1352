"""Views: values as NumPy's, gradients by differences, shared memory, errors."""

import numpy as np
import pytest

from pyllm.autograd import Tensor
from tests.autograd.differences import check_gradients

VIEWS = {
    "reshape": (lambda t: t.reshape(6, 4), lambda x: x.reshape(6, 4)),
    "reshape tuple": (lambda t: t.reshape((4, -1)), lambda x: x.reshape(4, -1)),
    "flatten": (lambda t: t.flatten(), np.ravel),
    "flatten two": (lambda t: t.flatten(1, -1), lambda x: x.reshape(2, 12)),
    "transpose": (lambda t: t.transpose(0, -1), lambda x: x.swapaxes(0, 2)),
    "swapaxes": (lambda t: t.swapaxes(1, 2), lambda x: x.swapaxes(1, 2)),
    "permute": (lambda t: t.permute(2, 0, 1), lambda x: x.transpose(2, 0, 1)),
    "permute list": (lambda t: t.permute([-1, 0, 1]), lambda x: x.transpose(2, 0, 1)),
    "T": (lambda t: t.T, lambda x: x.T),
    "unsqueeze": (lambda t: t.unsqueeze(1), lambda x: x[:, None]),
    "unsqueeze last": (lambda t: t.unsqueeze(-1), lambda x: x[..., None]),
    "expand": (lambda t: t.expand(5, -1, 3, -1), lambda x: np.broadcast_to(x, (5, 2, 3, 4))),
    "broadcast_to": (lambda t: t.broadcast_to((1, 2, 3, 4)), lambda x: x[None]),
}


@pytest.mark.parametrize("name", VIEWS)
def test_views(name, rng):
    view, reference = VIEWS[name]
    x = rng.normal(size=(2, 3, 4))
    got = view(Tensor(x)).data
    np.testing.assert_array_equal(got, reference(x))
    assert np.shares_memory(got, x)
    check_gradients(view, x)


def test_axes_of_size_one(rng):
    x = rng.normal(size=(1, 3, 1))
    assert Tensor(x).squeeze().shape == (3,)
    assert Tensor(x).squeeze(0).shape == (3, 1)
    assert Tensor(x).squeeze((1, -1)).shape == (1, 3)
    check_gradients(lambda t: t.squeeze(), x)
    check_gradients(lambda t: t.expand(2, 3, 4), x)
    check_gradients(lambda t: t.expand(2, -1, 3, -1), x)


def test_no_axes_and_no_elements(rng):
    check_gradients(lambda t: t.reshape(1, 1).T.squeeze(), np.array(2.0))
    check_gradients(lambda t: t.expand(3), np.array(2.0))
    assert Tensor(np.zeros((0, 2))).flatten().shape == (0,)
    assert Tensor(np.array(1.0)).flatten().shape == (1,)
    check_gradients(lambda t: t.reshape(2, 0).transpose(0, 1), np.zeros((0, 2)))


def test_contiguous(rng):
    x = Tensor(rng.normal(size=(2, 3)))
    assert x.contiguous() is x
    assert x.T.contiguous().data.flags.c_contiguous
    check_gradients(lambda t: t.T.contiguous(), x.data)


def test_len_and_iteration(rng):
    x = Tensor(rng.normal(size=(2, 3)), requires_grad=True)
    assert len(x) == 2
    first, second = x
    (first * 2 + second).backward(np.ones(3))
    np.testing.assert_array_equal(x.grad.data, [[2, 2, 2], [1, 1, 1]])


def test_errors():
    x = Tensor(np.ones((2, 3)))
    with pytest.raises(ValueError, match="cannot reshape"):
        x.reshape(4)
    with pytest.raises(ValueError, match=r"axes: expected each of 2 axes once, got \(0, 0\)"):
        x.permute(0, 0)
    with pytest.raises(ValueError, match="axis0: 2 is out of range"):
        x.transpose(2, 0)
    with pytest.raises(ValueError, match="broadcast"):
        x.expand(3, 3)
    with pytest.raises(ValueError, match="start: expected an axis not after end"):
        x.flatten(1, 0)
    with pytest.raises(TypeError, match="no length"):
        len(Tensor(np.array(1.0)))
    with pytest.raises(ValueError, match=r"item: expected one element, got shape \(2, 3\)"):
        x.item()
