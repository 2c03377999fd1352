"""Functions over axes: values, gradients by differences, ties, empty axes, 16-bit sums."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyllm.autograd import Tensor
from tests.autograd.differences import check_gradients

NUMPY = {
    "sum": np.sum,
    "mean": np.mean,
    "max": np.max,
    "min": np.min,
    "var": lambda x, axis, keepdims: np.var(x, axis=axis, ddof=1, keepdims=keepdims),
    "std": lambda x, axis, keepdims: np.std(x, axis=axis, ddof=1, keepdims=keepdims),
}


@st.composite
def shape_and_axes(draw):
    shape = tuple(draw(st.lists(st.integers(1, 4), max_size=3)))
    axes = draw(st.lists(st.sampled_from(range(len(shape))), unique=True)) if shape else []
    signed = tuple(a - len(shape) if draw(st.booleans()) else a for a in axes)
    return shape, draw(st.sampled_from([signed, None, *signed[:1]]))


@pytest.mark.parametrize("name", ["sum", "mean", "max", "min"])
@given(case=shape_and_axes(), keepdims=st.booleans(), seed=st.integers(0, 99))
def test_values_and_gradients(name, case, keepdims, seed):
    shape, axis = case
    x = np.random.default_rng(seed).normal(size=shape)
    got = getattr(Tensor(x), name)(axis, keepdims=keepdims)
    np.testing.assert_allclose(got.data, NUMPY[name](x, axis=axis, keepdims=keepdims), rtol=1e-12)
    check_gradients(lambda t: getattr(t, name)(axis, keepdims=keepdims), x)


@pytest.mark.parametrize("name", ["var", "std"])
@pytest.mark.parametrize("axis", [None, 0, (0, 2), -1, 1])
@pytest.mark.parametrize("keepdims", [False, True])
def test_spread(name, axis, keepdims, rng):
    x = rng.normal(3, 2, size=(3, 2, 4))
    got = getattr(Tensor(x), name)(axis, keepdims=keepdims)
    np.testing.assert_allclose(got.data, NUMPY[name](x, axis, keepdims), rtol=1e-12)
    check_gradients(lambda t: getattr(t, name)(axis, keepdims=keepdims), x)
    check_gradients(lambda t: t.var(axis, correction=0), x)


def test_ties_share_the_gradient():
    x = Tensor(np.array([[1.0, 3, 3], [2, 2, 2]]), requires_grad=True)
    x.max(1).backward(np.array([6.0, 9.0]))
    np.testing.assert_array_equal(x.grad.data, [[0, 3, 3], [3, 3, 3]])
    x.zero_grad()
    x.min().backward(5.0)
    np.testing.assert_array_equal(x.grad.data, [[5, 0, 0], [0, 0, 0]])


def test_nan_is_the_extremum():
    x = Tensor(np.array([1.0, np.nan, 3.0]))
    assert np.isnan(x.max().data)
    assert np.isnan(x.min().data)


def test_nothing_to_reduce():
    x = Tensor(np.zeros((2, 0)), requires_grad=True)
    np.testing.assert_array_equal(x.sum(1).data, [0, 0])
    assert np.isnan(x.mean().data)
    assert np.isnan(Tensor(np.ones(1)).var().data)
    x.sum().backward()
    assert x.grad.shape == (2, 0)
    with pytest.raises(ValueError, match=r"max: no elements along axis 1 of shape \(2, 0\)"):
        x.max(1)
    assert x.max(0).shape == (0,)


@pytest.mark.parametrize("kind", [np.float16, ml_dtypes.bfloat16])
def test_16_bit_sums_are_rounded_once(kind):
    x = Tensor(np.ones((3000, 1), kind), requires_grad=True)
    assert float(x.sum()) == float(np.asarray(3000, kind))
    assert float(x.mean()) == 1
    assert float(x.var()) == 0
    (Tensor(np.ones((3000, 2), kind)) + x[:1]).sum(1).sum().backward()
    assert float(x.grad.data[0, 0]) == float(np.asarray(6000, kind))


def test_of_integers():
    x = Tensor(np.array([[1, 5], [3, 2]], np.int8))
    assert (x.sum().item(), x.sum().dtype) == (11, np.int64)
    assert (x.mean().item(), x.mean().dtype) == (2.75, np.float32)
    assert (x == 5).sum().item() == 1
    assert x.max().dtype == np.int8
    np.testing.assert_array_equal(x.argmax(1).data, [1, 0])
    assert x.argmin().item() == 0


def test_errors():
    x = Tensor(np.ones((2, 3)))
    with pytest.raises(ValueError, match="axis: 2 is out of range for a tensor of 2 axes"):
        x.sum(2)
    with pytest.raises(ValueError, match=r"axis: \(0, -2\) names one twice"):
        x.mean((0, -2))
