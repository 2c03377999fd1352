"""concat, stack, split, where: values as NumPy's, gradients by differences, errors."""

import ml_dtypes
import numpy as np
import pytest

from pyllm.autograd import Tensor, concat, split, stack, where
from tests.autograd.differences import check_gradients


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_concat_and_stack(axis, rng):
    arrays = [rng.normal(size=(2, 3, 2)) for _ in range(3)]
    tensors = [Tensor(a) for a in arrays]
    np.testing.assert_array_equal(concat(tensors, axis).data, np.concatenate(arrays, axis))
    np.testing.assert_array_equal(stack(tensors, axis).data, np.stack(arrays, axis))
    check_gradients(lambda *t: concat(t, axis), *arrays)
    check_gradients(lambda *t: stack(t, axis), *arrays)


def test_concat_of_different_lengths_and_dtypes(rng):
    arrays = [rng.normal(size=(n, 2)) for n in (3, 0, 1)]
    check_gradients(lambda *t: concat(t), *arrays)
    low = Tensor(np.ones((1, 2), ml_dtypes.bfloat16), requires_grad=True)
    y = concat([Tensor(np.ones((1, 2), np.float32)), low])
    assert y.dtype == np.float32
    y.backward(np.ones((2, 2)))
    assert low.grad.dtype == ml_dtypes.bfloat16


@pytest.mark.parametrize("sizes", [2, 5, 7, (1, 4), (0, 5, 0), (2, 2, 1)])
def test_split(sizes, rng):
    x = rng.normal(size=(2, 5, 2))
    parts = split(Tensor(x), sizes, 1)
    np.testing.assert_array_equal(np.concatenate([p.data for p in parts], 1), x)
    assert all(np.shares_memory(p.data, x) for p in parts if p.size)
    for keep in range(len(parts)):  # gradients of the others never arrive
        check_gradients(lambda t, keep=keep: split(t, sizes, 1)[keep] ** 2, x)
    check_gradients(lambda t: concat(split(t, sizes, 1)[::-1], 1), x)


def test_split_of_nothing():
    (part,) = split(Tensor(np.zeros((0, 2))), 3)
    assert part.shape == (0, 2)


def test_where(rng):
    condition = rng.random((3, 4)) < 0.5
    a, b = rng.normal(size=(3, 4)), rng.normal(size=4)
    np.testing.assert_array_equal(where(condition, Tensor(a), Tensor(b)).data,
                                  np.where(condition, a, b))  # fmt: skip
    check_gradients(lambda x, y: where(condition, x, y), a, b)
    check_gradients(lambda x: where(x > 0, x, -1.0), a)
    check_gradients(lambda x: where(condition[:, :1], 2, x), a)
    assert where(condition, 1.0, Tensor(a.astype(np.float32))).dtype == np.float32


def test_where_keeps_what_is_not_chosen_out():
    x = Tensor(np.array([0.0, 1.0]), requires_grad=True)
    where(x.data > 0, x, Tensor(np.array([np.nan, np.inf]))).sum().backward()
    np.testing.assert_array_equal(x.grad.data, [0, 1])


def test_errors():
    x = Tensor(np.ones((2, 3)))
    with pytest.raises(ValueError, match="tensors: expected at least one"):
        concat([])
    with pytest.raises(ValueError, match=r"tensors: expected equal shapes but for axis 1, got"):
        concat([x, x[:1]], 1)
    with pytest.raises(ValueError, match="tensors: expected one shape"):
        stack([x, x[:1]])
    with pytest.raises(ValueError, match="sizes: expected a sum of 3"):
        split(x, [1, 1], 1)
    with pytest.raises(ValueError, match="sizes: expected at least 1"):
        split(x, 0)
    with pytest.raises(TypeError, match="condition: expected booleans, got int64"):
        where(np.array([1, 0]), x, x)
