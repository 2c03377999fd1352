"""Operators of two operands: values as NumPy's, gradients by differences, dtypes, broadcasting."""

import operator

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import mutually_broadcastable_shapes

from pyllm.autograd import Tensor, maximum, minimum
from tests.autograd.differences import check_gradients

OPERATORS = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "div": operator.truediv,
    "pow": operator.pow,
    "maximum": maximum,
    "minimum": minimum,
}
NUMPY = {"maximum": np.maximum, "minimum": np.minimum}
shapes = mutually_broadcastable_shapes(num_shapes=2, max_dims=3, max_side=3, min_side=0)


@pytest.mark.parametrize("name", OPERATORS)
@given(shapes=shapes, seed=st.integers(0, 100))
def test_broadcast_values_and_gradients(name, shapes, seed):
    rng = np.random.default_rng(seed)
    a, b = (rng.uniform(0.5, 2, shape) for shape in shapes.input_shapes)
    expected = NUMPY.get(name, OPERATORS[name])(a, b)
    np.testing.assert_allclose(OPERATORS[name](Tensor(a), Tensor(b)).data, expected, rtol=1e-15)
    check_gradients(OPERATORS[name], a, b)


@pytest.mark.parametrize("name", [n for n in OPERATORS if n not in NUMPY])
@pytest.mark.parametrize("number", [3, -1.5, 0.5, 2, 1, np.float64(0.25), np.float32(3)])
def test_numbers_on_either_side(name, number, rng):
    apply, x = OPERATORS[name], rng.uniform(0.5, 2, (2, 3))
    wide = Tensor(x)
    np.testing.assert_allclose(apply(wide, number).data, apply(x, float(number)), rtol=1e-15)
    check_gradients(lambda t: apply(t, number), x)
    if not (name == "pow" and number < 0):
        np.testing.assert_allclose(apply(number, wide).data, apply(float(number), x), rtol=1e-15)
        check_gradients(lambda t: apply(number, t), x)


@pytest.mark.parametrize("number", [2, 0.5, True, np.float64(3), np.int64(2)])
@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16])
def test_numbers_leave_the_dtype(number, dtype):
    x = Tensor(np.ones(3, dtype), requires_grad=True)
    for name in ("add", "sub", "mul", "div", "pow"):
        y, z = OPERATORS[name](x, number), OPERATORS[name](number, x)
        assert y.dtype == z.dtype == dtype
        x.zero_grad()
        y.backward(np.ones(3))
        assert x.grad.dtype == dtype


def test_dtypes_of_mixed_operands():
    names = {"f4": np.float32, "f8": np.float64, "e": np.float16, "b": ml_dtypes.bfloat16}
    tensors = {name: Tensor(np.ones(2, dtype)) for name, dtype in names.items()}
    ints, bools = Tensor(np.ones(2, np.int64)), Tensor(np.ones(2, bool))
    for name, dtype in names.items():
        assert (tensors[name] + ints).dtype == dtype
        assert (bools * tensors[name]).dtype == dtype
        assert (tensors[name] + tensors["f8"]).dtype == np.float64
    assert (tensors["e"] + tensors["b"]).dtype == np.float32
    assert (ints / 2).dtype == (ints / ints).dtype == (ints * 0.5).dtype == np.float32
    assert (ints + 1).dtype == (bools + 1).dtype == np.int64


def test_each_gradient_has_the_dtype_and_shape_of_its_operand():
    a = Tensor(np.ones((2, 3), np.float32), requires_grad=True)
    b = Tensor(np.full((3,), 2, ml_dtypes.bfloat16), requires_grad=True)
    for apply in OPERATORS.values():
        a.zero_grad()
        b.zero_grad()
        y = apply(a, b)
        assert y.dtype == np.float32
        y.backward(np.ones((2, 3)))
        assert (a.grad.dtype, a.grad.shape) == (np.float32, (2, 3))
        assert (b.grad.dtype, b.grad.shape) == (ml_dtypes.bfloat16, (3,))


def test_numpy_arrays_on_either_side(rng):
    x, t = rng.normal(size=(2, 3)), Tensor(rng.normal(size=3), requires_grad=True)
    for name in ("add", "sub", "mul", "div"):
        for y in (OPERATORS[name](x, t), OPERATORS[name](t, x)):
            assert isinstance(y, Tensor)
            assert y.shape == (2, 3)
    assert isinstance(x @ Tensor(x.T), Tensor)
    np.testing.assert_array_equal(np.asarray(t), t.data)


def test_equal_operands_of_maximum_share_the_gradient():
    a, b = (Tensor(np.array([1.0, 2.0, 3.0]), requires_grad=True) for _ in range(2))
    (maximum(a, b) + minimum(a, b * 2)).backward(np.ones(3))
    np.testing.assert_array_equal(a.grad.data, [1.5] * 3)
    np.testing.assert_array_equal(b.grad.data, [0.5] * 3)


def test_powers_at_zero():
    x = np.array([0.0, 2.0, -3.0])
    for exponent, slopes in ((2, [0, 4, -6]), (0, [0, 0, 0]), (1, [1, 1, 1]), (3, [0, 12, 27])):
        t = Tensor(x, requires_grad=True)
        (t**exponent).backward(np.ones(3))
        np.testing.assert_array_equal(t.grad.data, slopes)
    base, exponent = Tensor(np.zeros(2), True), Tensor(np.array([0.0, 2.0]), True)
    (base**exponent).backward(np.ones(2))
    np.testing.assert_array_equal(base.grad.data, [0, 0])
    np.testing.assert_array_equal(exponent.grad.data, [0, 0])


def test_what_a_number_scales_saves_nothing():
    """Nothing of x is needed for the gradient of 2 x, so nothing of it stays alive."""
    x = Tensor(np.ones(3), requires_grad=True)
    for y in (x * 2, x + x, x - 1, -x):
        held = [cell.cell_contents for cell in y._node.backward.__closure__ or ()]
        assert not any(value is x or value is x.data for value in held)


def test_negation(rng):
    check_gradients(operator.neg, rng.normal(size=(2, 3)))


@pytest.mark.parametrize("name", ["eq", "ne", "lt", "le", "gt", "ge"])
def test_comparisons(name, rng):
    compare = getattr(operator, name)
    a, b = rng.integers(0, 3, (4, 5)).astype(np.float32), rng.integers(0, 3, 5)
    t = Tensor(a, requires_grad=True)
    for got in (compare(t, Tensor(b)), compare(t, b)):
        assert not got.requires_grad
        np.testing.assert_array_equal(got.data, compare(a, b))
    np.testing.assert_array_equal(compare(t, 1).data, compare(a, 1))
    np.testing.assert_array_equal(compare(b, t).data, compare(b, a))


def test_tensors_are_keys_by_identity():
    a, b = Tensor(np.ones(2)), Tensor(np.ones(2))
    assert len({a: 1, b: 2}) == 2


PRODUCTS = [
    ((2, 3), (3, 4)), ((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 2)), ((2, 2, 3), (3, 4)),
    ((2, 1, 2, 3), (3, 3, 2)), ((3, 2), (4, 2, 3)), ((2, 3, 2), (2,)), ((2,), (3, 2, 2)),
    ((0, 3), (3, 2)), ((2, 0), (0, 2)), ((2, 0, 3), (3, 2)), ((1, 1), (1, 1)),
]  # fmt: skip


@pytest.mark.parametrize(("left", "right"), PRODUCTS, ids=str)
def test_matmul(left, right, rng):
    a, b = rng.normal(size=left), rng.normal(size=right)
    np.testing.assert_allclose((Tensor(a) @ Tensor(b)).data, a @ b, rtol=1e-13, atol=1e-14)
    check_gradients(operator.matmul, a, b)


def test_matmul_of_strided_operands(rng):
    a, b = rng.normal(size=(3, 2)), rng.normal(size=(4, 3, 2))
    check_gradients(lambda x, y: x.T @ y.transpose(1, 2).transpose(1, 2), a, b)
    check_gradients(lambda x, y: y.transpose(1, 2) @ y @ x.T, a, b)


def test_errors():
    x = Tensor(np.ones((2, 3)))
    with pytest.raises(ValueError, match="broadcast"):
        x + np.ones(4)
    with pytest.raises(ValueError, match="inner axes of a and b differ"):
        x @ x
    with pytest.raises(TypeError, match="int64"):
        Tensor(np.ones((2, 2), np.int64)) @ np.ones((2, 2), np.int64)
    with pytest.raises(TypeError, match="expected real numbers, got dtype <U3"):
        x * ["one"]
    with pytest.raises(TypeError, match="complex"):
        Tensor(np.ones(2, complex))
    with pytest.raises(ValueError, match=r"shape \(2, 3\) is neither true nor false"):
        bool(x == x)
