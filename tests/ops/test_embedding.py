"""embedding and its scatter-add."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.backends import ops


@given(
    st.integers(1, 30), st.sampled_from([0, 1, 3, 16, 40]), st.integers(0, 40), st.integers(0, 99)
)
def test_forward_and_backward(entries, width, count, seed):
    rng = np.random.default_rng(seed)
    weight = rng.normal(size=(entries, width)).astype(np.float32)
    ids = rng.integers(0, entries, (2, count), np.int32)
    np.testing.assert_array_equal(ops.embedding(ids, weight), weight[ids])
    grad = rng.normal(size=(2, count, width)).astype(np.float32)
    expected = np.zeros_like(weight)
    np.add.at(expected, ids, grad)  # in the same order: the same roundings
    np.testing.assert_array_equal(ops.embedding_backward(grad, ids, entries), expected)


def test_storage_types(backend, dtype, rng):
    weight = rng.normal(size=(11, 37)).astype(dtype)
    ids = rng.integers(0, 11, 50)
    got = ops.embedding(ids, weight)
    assert got.dtype == dtype
    assert got.tobytes() == weight[ids].tobytes()
    grad = rng.integers(-3, 4, (50, 37)).astype(dtype)  # sums are exact
    expected = np.zeros((11, 37))
    np.add.at(expected, ids, grad.astype(np.float64))
    got = ops.embedding_backward(grad, ids, 11)
    assert got.dtype == dtype
    np.testing.assert_array_equal(got.astype(np.float64), expected)


def test_accumulates_into_a_buffer_of_float32(backend, dtype, rng):
    if dtype == np.float64:
        return
    grad, ids = rng.integers(-3, 4, (8, 5)).astype(dtype), np.arange(8) % 3
    buffer = np.full((3, 5), 7, np.float32)
    once = ops.embedding_backward(grad, ids, 3, out=np.empty((3, 5), np.float32))
    assert ops.embedding_backward(grad, ids, 3, out=buffer, accumulate=True) is buffer
    np.testing.assert_array_equal(buffer, once + 7)


def test_padding_counts_for_nothing(backend, rng):
    grad, ids = np.ones((6, 4), np.float32), np.array([0, 1, 2, 1, 0, 0])
    got = ops.embedding_backward(grad, ids, 3, padding_idx=0)
    np.testing.assert_array_equal(got[:, 0], [0, 2, 1])


def test_same_at_any_thread_count(threads, rng):
    grad = rng.normal(size=(2000, 100)).astype(np.float32)
    ids = rng.integers(0, 5, 2000)
    results = []
    for n in (1, 2, 3):
        threads(n)
        results.append(ops.embedding_backward(grad, ids, 5))
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def test_strided_ids(backend, rng):
    weight = rng.normal(size=(9, 4)).astype(np.float32)
    ids = rng.integers(0, 9, (6, 8))[::2, ::-3].T
    np.testing.assert_array_equal(ops.embedding(ids, weight), weight[ids])


def test_strided_arrays(dtype, isa, rng):
    """Packed halves, reversed columns and transposed tables give what their copies give."""
    ids = rng.integers(0, 9, (3, 4))
    packed = rng.normal(size=(9, 80)).astype(dtype)
    for weight in (packed[:, 40:], packed[::-1, 39::-1], packed.T[:9, :7]):
        expected = ops.embedding(ids, np.ascontiguousarray(weight))
        assert ops.embedding(ids, weight).tobytes() == expected.tobytes()
        out = np.zeros((3, 4, 2 * weight.shape[1]), dtype)[..., ::2]
        assert ops.embedding(ids, weight, out=out) is out
        np.testing.assert_array_equal(out, expected)
    grad = rng.normal(size=(4, 3, 100)).astype(dtype).transpose(1, 0, 2)[..., 90:3:-1]
    expected = ops.embedding_backward(np.ascontiguousarray(grad), ids, 9)
    assert ops.embedding_backward(grad, ids, 9).tobytes() == expected.tobytes()
    out = np.ones((87, 9), dtype).T
    assert ops.embedding_backward(grad, ids, 9, out=out) is out
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("bad", [-1, 5, 2**31 - 1])
def test_ids_out_of_range_are_named(bad):
    ids = np.array([[0, 1], [bad, 4]], np.int32)
    with pytest.raises(ValueError, match=rf"0 <= id < 5, got {bad} at position 2"):
        ops.embedding(ids, np.ones((5, 2), np.float32))
    with pytest.raises(ValueError, match="got"):
        ops.embedding_backward(np.ones((2, 2, 3), np.float32), ids, 5)


def test_hostile_inputs():
    weight, ids = np.ones((5, 2), np.float32), np.zeros(3, np.int64)
    with pytest.raises(TypeError, match="ids"):
        ops.embedding(np.zeros(3), weight)
    with pytest.raises(ValueError, match="weight"):
        ops.embedding(ids, weight[0])
    with pytest.raises(ValueError, match="grad"):
        ops.embedding_backward(np.ones((4, 2), np.float32), ids, 5)
    with pytest.raises(ValueError, match="accumulate=True needs a buffer"):
        ops.embedding_backward(np.ones((3, 2), np.float32), ids, 5, accumulate=True)
