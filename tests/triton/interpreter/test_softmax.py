import numpy as np
import pytest
import torch

from pyllm import ops as torch_ops
from tests.ops.test_softmax import magnitude
from tests.reference import softmax as reference
from tests.tolerance import assert_close
from tests.triton.arrays import numpy_ops as ops

both = pytest.mark.parametrize("name", ["softmax", "log_softmax"])


@both
@pytest.mark.parametrize("shape", [(1,), (3, 5), (2, 3, 100), (2, 8192), (2, 9001), (5, 0), (0, 4)])
def test_forward(dtype, name, shape, rng):
    x = rng.normal(0, 3, shape).astype(dtype)
    y = getattr(ops, name)(x)
    assert y.dtype == dtype
    expected = getattr(reference, name)(x)
    assert_close(y, expected, ops=8, scale=magnitude(name, x, expected))


@both
@pytest.mark.parametrize("n", [1, 77, 8500])
def test_backward(dtype, name, n, rng):
    x, grad = rng.normal(0, 2, (2, 3, n)).astype(dtype)
    y = getattr(ops, name)(x)
    got = getattr(ops, f"{name}_backward")(grad, y, temperature=0.5)
    expected = getattr(reference, f"{name}_backward")(grad, y, temperature=0.5)
    grad, y = np.abs(grad.astype(np.float64)), y.astype(np.float64)
    factor = np.abs(y) if name == "softmax" else np.exp(y)
    terms = (grad * (factor if name == "softmax" else 1)).sum(-1, keepdims=True)
    whole = factor * (grad + terms) if name == "softmax" else grad + factor * terms
    assert_close(got, expected, ops=16 + n**0.5 / 4, scale=2 * whole * (1 + np.abs(x).max()))


@both
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_any_axis_and_layout(name, axis, rng):
    x = rng.normal(size=(6, 5, 8)).astype(np.float32).transpose(2, 0, 1)[:, ::2]
    y = getattr(ops, name)(x, axis, temperature=0.5)
    expected = getattr(reference, name)(x, axis, temperature=0.5)
    assert_close(y, expected, ops=8, scale=magnitude(name, x, expected, 0.5))


@both
@pytest.mark.parametrize("n", [8, 8193])
def test_mask_broadcasts_and_empty_rows(name, n, rng):
    x = rng.normal(size=(2, 3, n)).astype(np.float32)
    mask = rng.random((3, n)) < 0.5
    mask[2] = False
    y = getattr(ops, name)(x, mask=mask)
    expected = getattr(reference, name)(x, mask=np.broadcast_to(mask, x.shape))
    expected[:, 2] = 0 if name == "softmax" else -np.inf
    assert_close(y, expected, ops=8, scale=magnitude(name, x, np.where(mask, expected, 0)))
    assert (y[:, ~mask] == (0 if name == "softmax" else -np.inf)).all()


def test_special_values():
    inf, nan = np.inf, np.nan
    x = np.array([[1e30, 1e30], [-inf, 0], [-inf, -inf], [nan, 0], [3e38, -3e38]], np.float32)
    y = ops.softmax(x)
    np.testing.assert_array_equal(y[:3], [[0.5, 0.5], [0, 1], [0, 0]])
    assert np.isnan(y[3]).all()
    np.testing.assert_array_equal(y[4], [1, 0])
    assert np.isnan(ops.softmax(np.array([inf, 0], np.float32))).any()


def test_out_and_in_place():
    x = torch.randn(3, 8)
    expected = torch_ops.softmax(x)
    out = torch.empty(3, 8)
    assert torch_ops.softmax(x, out=out) is out
    wide = torch.zeros(3, 16)
    torch_ops.softmax(x, out=wide[:, ::2])
    assert torch_ops.softmax(x, out=x) is x
    for result in (out, wide[:, ::2], x):
        assert torch.equal(result, expected)
    assert not wide[:, 1::2].any()


X = torch.ones(3, 4)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: torch_ops.softmax(X.long()), TypeError, "x: expected float32"),
        (lambda: torch_ops.softmax(X.double()), TypeError, "x: expected float32"),
        (lambda: torch_ops.softmax(X, 2), ValueError, "axis: 2 is out of range"),
        (lambda: torch_ops.softmax(X, temperature=0), ValueError, "temperature: expected a posi"),
        (lambda: torch_ops.softmax(X, mask=X), TypeError, "mask: expected dtype bool"),
        (lambda: torch_ops.softmax(X, mask=X[0, :3] > 0), ValueError, "mask: shape .* broadcast"),
        (lambda: torch_ops.softmax(X, out=X.T), ValueError, "out: expected shape"),
        (lambda: torch_ops.softmax(X, out=X.half()), TypeError, "out: expected dtype float32"),
        (lambda: torch_ops.softmax(X, out=X[:1].expand(3, 4)), ValueError, "out: elements overlap"),
        (lambda: torch_ops.softmax(X[:, :3], out=X[:, 1:]), ValueError, "out: overlaps the mem"),
        (lambda: torch_ops.softmax_backward(X[:2], X), ValueError, "grad: expected shape"),
        (lambda: torch_ops.softmax_backward(X.half(), X), TypeError, "grad: expected the dtype"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
