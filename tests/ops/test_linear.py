import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.backends import ops
from tests.reference import linear as reference
from tests.tolerance import assert_close, roundoff

ACTIVATIONS = [None, "relu", "gelu", "gelu_tanh", "silu"]
activations = pytest.mark.parametrize("activation", ACTIVATIONS)


def roundings(length):
    """Roundings that count in a sum of `length` products: they add up like a random walk."""
    return 4 + 2 * np.sqrt(length)


def problem(rng, rows, n, k, dtype=np.float32):
    rows = rows if isinstance(rows, tuple) else (rows,)
    x = rng.normal(size=(*rows, k)).astype(dtype)
    weight = (rng.normal(size=(n, k)) / np.sqrt(max(k, 1))).astype(dtype)
    bias = rng.normal(size=n).astype(dtype)
    return x, weight, bias


def terms(x, weight):
    return np.abs(np.asarray(x, np.float64)) @ np.abs(np.asarray(weight, np.float64)).T


@activations
@pytest.mark.parametrize("shape", [((), 5, 3), (1, 1, 1), (7, 33, 19), ((2, 3), 70, 40)])
def test_forward(backend, dtype, activation, shape, rng):
    x, weight, bias = problem(rng, *shape, dtype)
    y, z = ops.linear(x, weight, bias, activation=activation, return_preactivation=True)
    expected, expected_z = reference.linear(x, weight, bias, activation)
    scale = terms(x, weight) + np.abs(bias.astype(np.float64))
    ops_count = roundings(shape[2])
    assert y.dtype == z.dtype == dtype
    assert_close(z, expected_z, ops=ops_count, scale=scale)
    # An activation has a slope of at most 1.13 and adds some roundings of its own.
    assert_close(y, expected, ops=1.2 * ops_count + 8, scale=scale)


@pytest.mark.parametrize(("m", "n", "k"), [(700, 530, 90), (40, 24, 2100), (3, 1100, 5)])
def test_tiles_and_panels(dtype, m, n, k, rng):
    x, weight, bias = problem(rng, m, n, k, dtype)
    y = ops.linear(x, weight, bias)
    expected, _ = reference.linear(x, weight, bias)
    scale = terms(x, weight) + np.abs(bias.astype(np.float64))
    assert_close(y, expected, ops=roundings(k), scale=scale)


@pytest.mark.parametrize("m", [1, 2, 3, 5, 8, 11, 16, 17])
def test_few_rows(backend, dtype, m, rng):
    """The shapes of decoding, which have a kernel of their own."""
    x, weight, bias = problem(rng, m, 101, 307, dtype)
    y = ops.linear(x[:, ::-1], weight, bias, activation="relu")
    expected, _ = reference.linear(x[:, ::-1], weight, bias, "relu")
    scale = terms(x[:, ::-1], weight) + np.abs(bias.astype(np.float64))
    assert_close(y, expected, ops=roundings(307), scale=scale)


@activations
def test_backward(backend, dtype, activation, rng):
    x, weight, _ = problem(rng, (3, 50), 37, 29, dtype)
    z = rng.normal(size=(3, 50, 37)).astype(dtype)
    grad = rng.normal(size=z.shape).astype(dtype)
    dx, dweight, dbias = ops.linear_backward(
        grad, x, weight, bias=True, activation=activation, preactivation=z
    )
    expected = reference.linear_backward(grad, x, weight, activation, z)
    g = np.abs(grad.astype(np.float64)) * 1.2
    # With an activation g is stored in the storage type: one more rounding of each term.
    stored = 0 if activation is None else roundoff(dtype) / 2.0**-24
    magnitudes = reference.linear_backward(g, np.abs(x), np.abs(weight))
    for got, want, scale, length in zip(
        (dx, dweight, dbias), expected, magnitudes, (37, 150, 150), strict=True
    ):
        assert got.dtype == dtype
        assert_close(got, want, ops=roundings(length) + 8 + stored, scale=scale)


@activations
def test_gradient_by_differences(activation, rng):
    x, weight, bias = problem(rng, (2, 2), 3, 4, np.float64)
    y, z = ops.linear(x, weight, bias, activation=activation, return_preactivation=True)
    grad = rng.normal(size=y.shape)
    gradients = ops.linear_backward(
        grad, x, weight, bias=True, activation=activation, preactivation=z
    )
    for value, gradient in zip((x, weight, bias), gradients, strict=True):
        for i in np.ndindex(value.shape):
            kept = value[i]
            sides = []
            for step in (1e-6, -1e-6):
                value[i] = kept + step
                sides.append((ops.linear(x, weight, bias, activation=activation) * grad).sum())
            value[i] = kept
            assert gradient[i] == pytest.approx((sides[0] - sides[1]) / 2e-6, abs=1e-7)


@given(
    rows=st.lists(st.integers(0, 4), max_size=3),
    n=st.integers(0, 20),
    k=st.integers(0, 20),
    data=st.data(),
)
def test_any_layout(backend, rows, n, k, data):
    rng = np.random.default_rng(0)
    order = data.draw(st.permutations(range(len(rows) + 1)))
    shape = [*rows, k]
    stored = rng.normal(size=[shape[axis] for axis in order]).astype(np.float32)
    x = stored.transpose(np.argsort(order))
    if data.draw(st.booleans()):
        x = x[..., ::-1]
    weight = rng.normal(size=(k, n)).astype(np.float32).T
    assert x.shape == tuple(shape)
    y = ops.linear(x, weight, activation="relu")
    expected, _ = reference.linear(x, weight, activation="relu")
    assert_close(y, expected, ops=roundings(k), scale=terms(x, weight))
    grad = rng.normal(size=y.shape).astype(np.float32)
    dx, dweight, dbias = ops.linear_backward(grad, x, weight, bias=True)
    want = reference.linear_backward(grad, x, weight)
    scales = reference.linear_backward(np.abs(grad), np.abs(x), np.abs(weight))
    length = max(n, int(np.prod(rows)))
    for got, expected, scale in zip((dx, dweight, dbias), want, scales, strict=True):
        assert_close(got, expected, ops=roundings(length), scale=scale)


def test_accumulates_into_the_callers_buffers(backend, rng):
    x, weight, _ = problem(rng, 40, 12, 8)
    grad = rng.normal(size=(40, 12)).astype(np.float32)
    flat = np.ones(12 * 8 + 12, np.float32)
    dweight, dbias = flat[:96].reshape(12, 8), flat[96:]
    fresh = ops.linear_backward(grad, x, weight, bias=True)
    got = ops.linear_backward(
        grad, x, weight, bias=True, dweight_out=dweight, dbias_out=dbias, accumulate=True
    )
    assert got[1] is dweight
    assert got[2] is dbias
    scale = 1 + np.abs(grad).T @ np.abs(x)
    assert_close(dweight, 1 + fresh[1], ops=8, scale=scale)
    assert_close(dbias, 1 + fresh[2], ops=8, scale=1 + np.abs(grad).sum(0))
    ops.linear_backward(grad, x, weight, bias=True, dweight_out=dweight, dbias_out=dbias)
    np.testing.assert_array_equal(dweight, fresh[1])
    np.testing.assert_array_equal(dbias, fresh[2])


def test_float32_gradients_of_bfloat16_parameters(rng):
    x, weight, _ = problem(rng, 40, 12, 8, ml_dtypes.bfloat16)
    grad = rng.normal(size=(40, 12)).astype(ml_dtypes.bfloat16)
    dweight, dbias = np.zeros((12, 8), np.float32), np.zeros(12, np.float32)
    for _ in range(2):
        ops.linear_backward(
            grad, x, weight, bias=True, dweight_out=dweight, dbias_out=dbias, accumulate=True
        )
    _, expected, sums = reference.linear_backward(grad, x, weight)
    scale = np.abs(grad.astype(float)).T @ np.abs(x.astype(float))
    assert_close(dweight, 2 * expected, ops=16, scale=2 * scale)
    assert_close(dbias, 2 * sums, ops=16, scale=2 * np.abs(grad.astype(float)).sum(0))


def test_leaves_out_what_is_not_needed(rng):
    x, weight, _ = problem(rng, 4, 3, 2)
    grad = np.ones((4, 3), np.float32)
    assert ops.linear_backward(grad, x, weight, need_dx=False)[0] is None
    dx, dweight, dbias = ops.linear_backward(grad, x, weight, need_dweight=False)
    assert dx.shape == x.shape
    assert dweight is None
    assert dbias is None


def test_no_rows_leave_gradients_alone_or_zero():
    x, weight, grad = np.ones((0, 2), np.float32), X[:, :2], np.ones((0, 3), np.float32)
    _, dweight, dbias = ops.linear_backward(grad, x, weight, bias=True)
    assert (dweight == 0).all()
    assert (dbias == 0).all()
    kept = np.ones((3, 2), np.float32)
    ops.linear_backward(grad, x, weight, dweight_out=kept, accumulate=True)
    assert (kept == 1).all()


def test_no_features_give_the_bias():
    bias = np.array([1, -2, 3], np.float32)
    x, weight = np.ones((2, 0), np.float32), np.ones((3, 0), np.float32)
    y = ops.linear(x, weight, bias, activation="relu")
    np.testing.assert_array_equal(y, [[1, 0, 3]] * 2)
    np.testing.assert_array_equal(ops.linear(x, weight), np.zeros((2, 3)))


def test_special_values():
    x = np.array([[np.nan, 1], [np.inf, 1], [3e38, 3e38]], np.float32)
    y = ops.linear(x, np.array([[1, 1], [0, 1]], np.float32))
    assert np.isnan(y[0]).all()
    assert y[1, 0] == np.inf
    assert np.isnan(y[1, 1])
    assert y[2, 0] == np.inf


def test_writes_into_a_strided_out(rng):
    x, weight, bias = problem(rng, (2, 3), 5, 4)
    wide = np.zeros((2, 4, 10), np.float32)
    out = wide[:, :3, ::2]
    assert ops.linear(x, weight, bias, activation="silu", out=out) is out
    np.testing.assert_allclose(out, ops.linear(x, weight, bias, activation="silu"), rtol=1e-6)
    assert (wide[:, 3] == 0).all()
    assert (wide[..., 1::2] == 0).all()


def test_same_bits_every_time(rng):
    x, weight, bias = problem(rng, 300, 65, 128)
    first = ops.linear(x, weight, bias, activation="gelu").tobytes()
    assert all(ops.linear(x, weight, bias, activation="gelu").tobytes() == first for _ in range(5))


X = np.ones((3, 4), np.float32)
W = np.ones((5, 4), np.float32)
G = np.ones((3, 5), np.float32)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: ops.linear([1.0], W), TypeError, "x: expected a NumPy array"),
        (lambda: ops.linear(X.astype(int), W), TypeError, "x: expected float32"),
        (lambda: ops.linear(X, W.astype(float)), TypeError, "weight: expected the dtype of x"),
        (lambda: ops.linear(X, W[0]), ValueError, "weight: expected 2 axes"),
        (lambda: ops.linear(X, W[:, :3]), ValueError, "x: expected 3 features"),
        (lambda: ops.linear(X[0, 0:1].reshape(()), W), ValueError, "x: expected 4 features"),
        (lambda: ops.linear(X, W, W[:, 0][:4]), ValueError, "bias: expected shape"),
        (lambda: ops.linear(X, W, activation="tanh"), ValueError, "activation: expected None"),
        (lambda: ops.linear(X, W, activation=1), ValueError, "activation: expected None"),
        (lambda: ops.linear(X, W, out=np.ones((5, 3), np.float32)), ValueError, "out: expected"),
        (lambda: ops.linear(X, W[:4], out=X), ValueError, "out: overlaps the memory of x"),
        (lambda: ops.linear_backward(G[:2], X, W), ValueError, "grad: expected shape"),
        (
            lambda: ops.linear_backward(G, X, W, activation="gelu"),
            ValueError,
            "preactivation: needed",
        ),
        (
            lambda: ops.linear_backward(G, X, W, accumulate=True),
            ValueError,
            "dweight_out: accumulate=True needs",
        ),
        (
            lambda: ops.linear_backward(G, X, W, dweight_out=np.ones((5, 4))),
            TypeError,
            "dweight_out: expected dtype float32",
        ),
        (lambda: ops.linear_backward(G, X, W, dweight_out=W), ValueError, "overlaps"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
