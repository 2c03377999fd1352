"""Indexing: values as NumPy's, gradients by differences, repeated places, determinism."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, basic_indices, integer_array_indices

from pyllm.autograd import Tensor
from tests.autograd.differences import check_gradients


@st.composite
def shape_and_index(draw):
    shape = draw(array_shapes(max_dims=3, max_side=4))
    kinds = [
        basic_indices(shape, allow_newaxis=True, allow_ellipsis=True),
        integer_array_indices(shape, result_shape=array_shapes(max_dims=2, max_side=4)),
        st.integers(0, 2**30).map(lambda s: np.random.default_rng(s).random(shape) < 0.5),
        st.lists(st.integers(-shape[0], shape[0] - 1), max_size=6),
    ]
    return shape, draw(st.one_of(kinds))


@given(case=shape_and_index(), seed=st.integers(0, 99))
def test_values_and_gradients(case, seed):
    shape, index = case
    x = np.random.default_rng(seed).normal(size=shape)
    expected = x[index] if not isinstance(index, list) else x[np.array(index, int)]
    np.testing.assert_array_equal(Tensor(x)[index].data, expected)
    check_gradients(lambda t: t[index], x)


MIXED = {
    "rows twice": np.array([[0, 2], [2, -1]]),
    "pairs": (np.array([0, 1, 1]), np.array([2, 2, -2])),
    "array and slice": (slice(None), np.array([1, 1, 0])),
    "slice between": (np.array([0, 1, 0]), slice(1, None), np.array([1, 1, 1])),
    "mask and integer": (np.array([True, False, True]), 1),
    "mask and array": (np.array([True, False, True]), np.array([1, 1])),
    "rows of mask": np.array([True, False, True]),
    "tensor": Tensor(np.array([1, 1, 2])),
    "none": (None, np.array([0, 0])),
    "empty": [],
    "one place": (np.int64(1), 2, -1),
    "true": True,
    "array of no axes": np.array(1),
}


@pytest.mark.parametrize("name", MIXED)
def test_mixed(name, rng):
    index, x = MIXED[name], rng.normal(size=(3, 4, 2))
    plain = index.data if isinstance(index, Tensor) else index
    plain = np.array(plain, int) if isinstance(plain, list) else plain
    np.testing.assert_array_equal(Tensor(x)[index].data, x[plain])
    check_gradients(lambda t: t[index], x)


def test_slices_share_memory_and_arrays_do_not(rng):
    x = rng.normal(size=(3, 4))
    for index in (0, slice(1, 3), (..., 1), (0, 0), (None, slice(None))):
        assert np.shares_memory(Tensor(x)[index].data, x)
    for index in ([0, 1], x > 0):
        assert not np.shares_memory(Tensor(x)[index].data, x)


@pytest.mark.parametrize("kind", [np.float32, np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("tail", [(), (3,)])
def test_many_additions_to_one_place(kind, tail, rng, threads):
    """Rows and single elements, at any thread count the same bits, 16-bit rounded once."""
    ids = rng.integers(0, 3, 4000)
    grad = rng.normal(size=(4000, *tail)).astype(kind)
    results = []
    for count in (1, 2):
        threads(count)
        x = Tensor(np.zeros((3, *tail), kind), requires_grad=True)
        x[ids].backward(grad)
        results.append(x.grad.data)
    assert results[0].tobytes() == results[1].tobytes()
    exact = np.zeros((3, *tail))
    np.add.at(exact, ids, grad.astype(np.float64))
    unit = float(ml_dtypes.finfo(kind).eps)
    # Sums of some 1400 normal numbers in float32: sqrt(1400) roundings of partial sums below 200.
    np.testing.assert_allclose(
        results[0].astype(np.float64), exact, rtol=unit, atol=40 * 200 * 2.0**-24
    )


def test_errors():
    x = Tensor(np.ones((2, 3)))
    with pytest.raises(IndexError, match="out of bounds"):
        x[2]
    with pytest.raises(IndexError, match="out of bounds"):
        x[[0, 5]]
    with pytest.raises(IndexError, match="too many indices"):
        x[0, 0, 0]
    with pytest.raises(IndexError, match="index: expected integers, slices or booleans, got float"):
        x[0.5]
    with pytest.raises(IndexError, match="boolean index did not match"):
        x[np.ones(3, bool)]
