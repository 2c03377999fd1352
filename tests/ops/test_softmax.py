import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.backends import ops
from tests.reference import softmax as reference
from tests.tolerance import assert_close

FORWARD = {"softmax": ops.softmax, "log_softmax": ops.log_softmax}
BACKWARD = {"softmax": ops.softmax_backward, "log_softmax": ops.log_softmax_backward}
both = pytest.mark.parametrize("name", ["softmax", "log_softmax"])


# Probabilities below float32's smallest normal number become 0: what that is to a bound of 8 ops.
FLUSHED = 2.0**-126 / (8 * 2.0**-24)


def magnitude(name, x, expected, temperature=1.0):
    """Size of the terms: a probability's relative error is the exponent's absolute one."""
    top = np.abs(np.asarray(x, np.float64)).max(initial=1.0) / temperature
    if name == "softmax":
        return np.abs(expected) * (1 + top) + FLUSHED
    return 1 + top + np.abs(expected)


@both
@pytest.mark.parametrize("shape", [(1,), (7,), (3, 5), (4, 64), (2, 3, 1000), (5, 0), (0, 4)])
def test_forward(backend, dtype, name, shape, rng):
    x = rng.normal(0, 3, shape).astype(dtype)
    y = FORWARD[name](x)
    assert y.dtype == dtype
    expected = getattr(reference, name)(x)
    assert_close(y, expected, ops=8, scale=magnitude(name, x, expected))


@both
def test_backward(backend, dtype, name, rng):
    x, grad = rng.normal(0, 2, (2, 6, 77)).astype(dtype)
    y = FORWARD[name](x)
    got = BACKWARD[name](grad, y)
    expected = getattr(reference, f"{name}_backward")(grad, y)
    grad = np.abs(grad.astype(np.float64))
    factor = np.abs(y.astype(np.float64)) if name == "softmax" else np.ones_like(grad)
    terms = (grad * (factor if name == "softmax" else 1)).sum(-1, keepdims=True)
    assert_close(got, expected, ops=16, scale=factor * (grad + terms))


@both
def test_gradient_by_differences(name, rng):
    x, grad = rng.normal(size=(2, 3, 9))
    mask = rng.random((3, 9)) < 0.8
    options = {"axis": 0, "temperature": 0.7}
    got = BACKWARD[name](grad, FORWARD[name](x, mask=mask, **options), **options)
    step = 1e-6

    def loss(x):
        y = FORWARD[name](x, mask=mask, **options)
        return (np.where(mask, y, 0) * grad).sum()

    for i in np.ndindex(x.shape):
        if not mask[i]:
            continue
        shift = np.zeros_like(x)
        shift[i] = step
        masked = BACKWARD[name](np.where(mask, grad, 0), FORWARD[name](x, mask=mask, **options),
                                **options)  # fmt: skip
        assert masked[i] == pytest.approx(
            (loss(x + shift) - loss(x - shift)) / (2 * step), abs=1e-8
        )
    assert got.shape == x.shape


@both
@given(
    x=hnp.arrays(
        np.float32,
        hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=9),
        elements=st.floats(-100, 100, width=32),
    ),
    data=st.data(),
)
def test_any_axis_and_layout(backend, name, x, data):
    axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
    order = data.draw(st.permutations(range(x.ndim)))
    x = x.transpose(order)[..., ::-1]
    y = FORWARD[name](x, axis, temperature=0.5)
    expected = getattr(reference, name)(x, axis, temperature=0.5)
    assert_close(y, expected, ops=8, scale=magnitude(name, x, expected, 0.5))


@both
def test_mask_broadcasts_and_empty_rows(backend, name, rng):
    x = rng.normal(size=(4, 6, 8)).astype(np.float32)
    mask = rng.random((6, 8)) < 0.5
    mask[2] = False
    y = FORWARD[name](x, mask=mask)
    expected = getattr(reference, name)(x, mask=np.broadcast_to(mask, x.shape))
    expected[:, 2] = 0 if name == "softmax" else -np.inf
    assert_close(y, expected, ops=8, scale=magnitude(name, x, np.where(mask, expected, 0)))
    assert (y[:, ~mask] == (0 if name == "softmax" else -np.inf)).all()


@both
@pytest.mark.parametrize("kind", [np.float32, ml_dtypes.bfloat16, np.float64])
def test_additive_mask(isa, dtype, name, kind, rng):
    x = rng.normal(size=(2, 5, 40)).astype(dtype)
    mask = rng.normal(size=(5, 40)).astype(kind)
    mask[rng.random(mask.shape) < 0.3] = -np.inf
    mask[3] = -np.inf
    y = FORWARD[name](x, mask=mask, temperature=0.7)
    added = x.astype(np.float64) / 0.7 + mask.astype(np.float64)
    expected = getattr(reference, name)(added)
    out = np.isneginf(added)
    expected[out] = 0 if name == "softmax" else -np.inf
    shown = np.where(out, 0, added)
    assert_close(y, expected, ops=10, scale=magnitude(name, shown, np.where(out, 0, expected)))


@both
@pytest.mark.parametrize("shape", [(5, 3), (70, 130), (3, 40, 64), (1, 9, 2, 17)])
@pytest.mark.parametrize("axis", [0, 1])
def test_down_columns(isa, dtype, name, shape, axis, rng):
    """The same along an axis that is not the last as on a transposed copy, forward and backward."""
    x, grad = rng.normal(0, 3, (2, *shape)).astype(dtype)
    x[(0,) * x.ndim] = -np.inf
    if axis < x.ndim - 1 and name == "softmax":
        np.moveaxis(x, axis, 0)[(slice(None), *(-1,) * (x.ndim - 1))] = -np.inf
    y = FORWARD[name](x, axis, temperature=0.8)
    finite = np.where(np.isfinite(x.astype(np.float64)), x.astype(np.float64), 0)
    expected = getattr(reference, name)(x, axis, temperature=0.8)
    empty = 0 if name == "softmax" else -np.inf  # a column of nothing but -inf
    expected = np.where(np.isnan(expected), empty, expected)
    shown = np.where(np.isfinite(expected), expected, 0)
    assert_close(y, expected, ops=10, scale=magnitude(name, finite, shown, 0.8))
    if name == "log_softmax":
        y = FORWARD[name](finite.astype(dtype), axis)
    dx = BACKWARD[name](grad, y, axis, temperature=0.8)
    moved = [np.ascontiguousarray(np.moveaxis(a, axis, -1)) for a in (grad, y)]
    across = np.moveaxis(BACKWARD[name](*moved, temperature=0.8), -1, axis)
    size = np.abs(grad.astype(np.float64))
    scale = 2 * (size + size.sum(axis, keepdims=True))
    assert_close(dx, across.astype(np.float64), ops=16, scale=scale)


@both
def test_rows_beyond_the_caches(isa, name, rng):
    x = rng.normal(0, 3, (2, 150_001)).astype(np.float32)
    x[0, :2048] = -np.inf
    x[1, -1] = 40
    y = FORWARD[name](x, temperature=1.3)
    expected = getattr(reference, name)(x, temperature=1.3)
    finite = np.where(np.isfinite(x), x, 0)
    shown = np.where(np.isfinite(expected), expected, 0)
    # The sum runs over 150 001 terms in 64 chains or more, by blocks of 2048.
    assert_close(y, expected, ops=8 + 2048 / 64 + 74, scale=magnitude(name, finite, shown, 1.3))
    empty = np.full((1, 150_001), -np.inf, np.float32)
    assert (FORWARD[name](empty) == (0 if name == "softmax" else -np.inf)).all()


def test_special_values(backend):
    inf, nan = np.inf, np.nan
    x = np.array([[1e30, 1e30], [-inf, 0], [-inf, -inf], [nan, 0], [3e38, -3e38]], np.float32)
    y = ops.softmax(x)
    np.testing.assert_array_equal(y[:3], [[0.5, 0.5], [0, 1], [0, 0]])
    assert np.isnan(y[3]).all()
    np.testing.assert_array_equal(y[4], [1, 0])
    assert np.isnan(ops.softmax(np.array([inf, 0], np.float32))).any()


def test_same_bits_at_any_thread_count(threads, rng):
    x = rng.normal(size=(513, 129)).astype(np.float32)
    results = []
    for n in (1, 2, 3):
        threads(n)
        results.append(ops.softmax(x).tobytes())
    assert len(set(results)) == 1


def test_out_and_in_place(backend, rng):
    x = rng.normal(size=(3, 8)).astype(np.float32)
    expected = ops.softmax(x)
    out = np.empty_like(x)
    assert ops.softmax(x, out=out) is out
    np.testing.assert_array_equal(out, expected)
    wide = np.zeros((3, 16), np.float32)
    ops.softmax(x, out=wide[:, ::2])
    np.testing.assert_array_equal(wide[:, ::2], expected)
    assert (wide[:, 1::2] == 0).all()
    ops.softmax(x, out=x)
    np.testing.assert_array_equal(x, expected)


def read_only(a):
    a.flags.writeable = False
    return a


X = np.ones((3, 4), np.float32)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: ops.softmax([1.0, 2.0]), TypeError, "x: expected a NumPy array"),
        (lambda: ops.softmax(np.ones(3, int)), TypeError, "x: expected float32"),
        (lambda: ops.softmax(X.astype(">f4")), TypeError, "x: big-endian"),
        (lambda: ops.softmax(np.float32(1)), TypeError, "x: expected a NumPy array"),
        (lambda: ops.softmax(np.ones((), np.float32)), ValueError, "axis: -1 is out of range"),
        (lambda: ops.softmax(X, 2), ValueError, "axis: 2 is out of range"),
        (lambda: ops.softmax(X, temperature=0), ValueError, "temperature: expected a positive"),
        (lambda: ops.softmax(X, temperature=np.nan), ValueError, "temperature: expected"),
        (lambda: ops.softmax(X, mask=X.astype(int)), TypeError, "mask: expected dtype bool"),
        (lambda: ops.softmax(X, mask=np.ones(3, bool)), ValueError, "mask: shape .* broadcast"),
        (
            lambda: ops.softmax(X, out=np.ones((4, 3), np.float32)),
            ValueError,
            "out: expected shape",
        ),
        (lambda: ops.softmax(X, out=np.ones((3, 4))), TypeError, "out: expected dtype float32"),
        (lambda: ops.softmax(X, out=read_only(X.copy())), ValueError, "out: is read-only"),
        (
            lambda: ops.softmax(X, out=np.lib.stride_tricks.as_strided(X, (3, 4), (0, 4))),
            ValueError,
            "out: elements overlap",
        ),
        (lambda: ops.softmax(X[:, :3], out=X[:, 1:]), ValueError, "out: overlaps the memory of x"),
        (lambda: ops.softmax_backward(X[:2], X), ValueError, "grad: expected shape"),
        (
            lambda: ops.softmax_backward(X.astype(ml_dtypes.bfloat16), X),
            TypeError,
            "grad: expected the dtype of y",
        ),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
