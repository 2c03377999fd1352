"""Activations and gated linear units: forward and backward, biases, strides, error in ulp."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.backends import ops
from tests.reference.activation import ACT, SLOPE
from tests.reference.gelu_error import gelu_error
from tests.tolerance import assert_close

FORWARD = {
    "gelu": ops.gelu,
    "gelu_tanh": lambda *a, **k: ops.gelu(*a, approximate="tanh", **k),
    "silu": ops.silu,
    "relu": ops.relu,
}
BACKWARD = {
    "gelu": ops.gelu_backward,
    "gelu_tanh": lambda *a, **k: ops.gelu_backward(*a, approximate="tanh", **k),
    "silu": ops.silu_backward,
    "relu": ops.relu_backward,
}
GLU = {
    "silu": ops.swiglu,
    "gelu": ops.geglu,
    "gelu_tanh": lambda *a, **k: ops.geglu(*a, approximate="tanh", **k),
}
GLU_BACKWARD = {
    "silu": ops.swiglu_backward,
    "gelu": ops.geglu_backward,
    "gelu_tanh": lambda *a, **k: ops.geglu_backward(*a, approximate="tanh", **k),
}
each = pytest.mark.parametrize("name", list(ACT))
each_glu = pytest.mark.parametrize("name", list(GLU))
# Roundings of the longest formula; 1 + erf and 1 + tanh cancel, so errors are of x's size.
OPS = 12


def wide(*arrays):
    return [np.asarray(a, np.float64) for a in arrays]


@each
@pytest.mark.parametrize("shape", [(), (1,), (7,), (3, 5), (2, 3, 700), (5, 0), (0, 4)])
def test_forward_and_backward(backend, dtype, name, shape, rng):
    x, g = rng.normal(0, 3, (2, *shape)).astype(dtype)
    x, g = np.asarray(x), np.asarray(g)
    (x64, g64) = wide(x, g)
    y = FORWARD[name](x)
    assert y.dtype == dtype
    assert_close(y, ACT[name](x64), ops=OPS, scale=np.abs(x64))
    dx = BACKWARD[name](g, x)
    assert_close(dx, g64 * SLOPE[name](x64), ops=4 * OPS, scale=np.abs(g64) * (1 + x64**2))


@each
@pytest.mark.parametrize("shape", [(4,), (3, 33), (2, 70, 130), (3, 0)])
def test_bias(backend, dtype, name, shape, rng):
    x, g = rng.normal(0, 2, (2, *shape)).astype(dtype)
    bias = rng.normal(size=shape[-1]).astype(dtype)
    x64, g64, b64 = wide(x, g, bias)
    size = np.abs(x64) + np.abs(b64)
    assert_close(FORWARD[name](x, bias=bias), ACT[name](x64 + b64), ops=OPS, scale=1 + size)
    if name == "relu":  # no rounding may decide on the side of the kink
        x = np.where(np.abs(x64 + b64) < 0.1, 1 - bias, x).astype(dtype)
        x64 = x.astype(np.float64)
    dx, dbias = BACKWARD[name](g, x, bias=bias)
    expected = g64 * SLOPE[name](x64 + b64)
    scale = np.abs(g64) * (1 + (np.abs(x64) + np.abs(b64)) ** 2)
    assert_close(dx, expected, ops=4 * OPS, scale=scale)
    axes = tuple(range(x.ndim - 1))
    assert dbias.shape == bias.shape
    assert_close(dbias, expected.sum(axes), ops=4 * OPS + 12, scale=scale.sum(axes))


@each_glu
@pytest.mark.parametrize("biases", [(), ("gate_bias",), ("up_bias",), ("gate_bias", "up_bias")])
def test_gated(backend, dtype, name, biases, rng):
    packed = rng.normal(0, 2, (3, 21, 2 * 75)).astype(dtype)
    gate, up = packed[..., :75], packed[..., 75:]
    g = rng.normal(size=gate.shape).astype(dtype)
    options = {b: rng.normal(size=75).astype(dtype) for b in biases}
    zeros = np.zeros(75)
    a64 = gate.astype(np.float64) + options.get("gate_bias", zeros).astype(np.float64)
    u64 = up.astype(np.float64) + options.get("up_bias", zeros).astype(np.float64)
    g64 = g.astype(np.float64)
    size_a, size_u = 3 + np.abs(a64), 3 + np.abs(u64)
    y = GLU[name](gate, up, **options)
    assert_close(y, ACT[name](a64) * u64, ops=OPS, scale=size_a * size_u)
    results = GLU_BACKWARD[name](g, gate, up, **options)
    dgate, dup = g64 * u64 * SLOPE[name](a64), g64 * ACT[name](a64)
    scales = np.abs(g64) * size_u * (1 + size_a**2), np.abs(g64) * size_a
    assert_close(results[0], dgate, ops=4 * OPS, scale=scales[0])
    assert_close(results[1], dup, ops=OPS, scale=scales[1])
    sums = {"gate_bias": (dgate, scales[0]), "up_bias": (dup, scales[1])}
    assert len(results) == 2 + len(biases)
    for bias, got in zip(biases, results[2:], strict=True):
        whole, scale = sums[bias]
        assert_close(got, whole.sum((0, 1)), ops=4 * OPS + 8, scale=scale.sum((0, 1)))


@each
@given(data=st.data())
def test_any_layout(backend, name, data):
    shape = data.draw(st.lists(st.integers(0, 6), min_size=1, max_size=4))
    order = data.draw(st.permutations(range(len(shape))))
    steps = data.draw(st.lists(st.sampled_from([1, -1, 2, -2]), min_size=len(shape),
                               max_size=len(shape)))  # fmt: skip
    x = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    x = x.transpose(order)[tuple(slice(None, None, s) for s in steps)]
    plain = np.ascontiguousarray(x)
    # A vector and a partial one round alike: the same bits whatever the layout.
    np.testing.assert_array_equal(FORWARD[name](x), FORWARD[name](plain))
    np.testing.assert_array_equal(BACKWARD[name](x, x), BACKWARD[name](plain, plain))
    out = np.zeros((*x.shape[:-1], 2 * x.shape[-1]), np.float32)[..., ::2]
    assert FORWARD[name](x, out=out) is out
    np.testing.assert_array_equal(out, FORWARD[name](plain))


def whole_range():
    """Every exponent, 256 mantissas each, both signs; results that are not tiny."""
    bits = (np.arange(0, 0x7F800000, 2**15, dtype=np.int64)).astype(np.uint32)
    x = bits.view(np.float32)
    return np.concatenate([x, -x[x < 80]])


def test_error_of_gelu_over_the_whole_range(isa):
    x = whole_range()
    with np.errstate(over="ignore"):
        expected = np.where(x > 1e10, x, ACT["gelu"](x.astype(np.float64)))
        bound = gelu_error(x, fused=isa != "baseline")
    error = np.abs(ops.gelu(x).astype(np.float64) - expected)
    worst = (error / bound).argmax()
    assert error[worst] <= bound[worst], f"{error[worst]} at {x[worst]}, bound {bound[worst]}"
    # In units of the last place of x the bound itself is modest.
    assert (bound / np.spacing(np.abs(x))).max() < 9


@pytest.mark.parametrize("name", ["gelu_tanh", "silu"])
def test_error_over_the_whole_range(isa, name):
    x = whole_range()
    y = FORWARD[name](x).astype(np.float64)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        expected = ACT[name](x.astype(np.float64))
        expected = np.where(x > 1e10, x, expected)
    # Error in units of the last place of x (the result is x times a number in [0, 1]).
    unit = np.spacing(np.abs(x)).astype(np.float64)
    worst = (np.abs(y - expected) / unit).max()
    assert worst <= 2, f"{worst} ulp of x"


@each
def test_special_values(backend, name):
    y = FORWARD[name](np.array([np.nan, np.inf, 0.0, 1e30, -1e30], np.float32))
    assert np.isnan(y[0])
    np.testing.assert_array_equal(y[1:], np.array([np.inf, 0, 1e30, 0], np.float32))
    assert np.isnan(
        BACKWARD[name](np.ones(1, np.float32), np.full(1, np.nan, np.float32))
    ).all() or (name == "relu")


@each
def test_same_at_any_thread_count(threads, name, rng):
    x, g = rng.normal(size=(2, 600, 129)).astype(np.float32)
    bias = rng.normal(size=129).astype(np.float32)
    results = []
    for n in (1, 2, 3):
        threads(n)
        got = [FORWARD[name](x), BACKWARD[name](g, x), *BACKWARD[name](g, x, bias=bias)]
        if name in GLU:
            got += GLU_BACKWARD[name](g, x, x, gate_bias=bias, up_bias=bias)
        results.append(b"".join(a.tobytes() for a in got))
    assert len(set(results)) == 1


def test_packed_halves_in_place(backend, rng):
    packed = rng.normal(size=(4, 9, 32)).astype(np.float32)
    gate, up = packed[..., :16].copy(), packed[..., 16:].copy()
    g = rng.normal(size=gate.shape).astype(np.float32)
    expected = ops.swiglu_backward(g, gate, up)
    dpacked = np.empty_like(packed)
    ops.swiglu_backward(g, gate, up, out=(dpacked[..., :16], dpacked[..., 16:]))
    np.testing.assert_array_equal(dpacked, np.concatenate(expected, -1))
    a, b = packed[..., :16], packed[..., 16:]
    ops.swiglu_backward(g, a, b, out=(a, b))
    np.testing.assert_array_equal(packed, dpacked)


X = np.ones((3, 4), np.float32)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: ops.gelu([1.0]), TypeError, "x: expected a NumPy array"),
        (lambda: ops.silu(np.ones(3, int)), TypeError, "x: expected float32"),
        (lambda: ops.gelu(X, approximate="erf"), ValueError, "approximate: expected 'none' or"),
        (lambda: ops.gelu(X, bias=np.ones(3, np.float32)), ValueError, "bias: expected shape"),
        (lambda: ops.gelu(X, bias=np.ones(4)), TypeError, "bias: expected the dtype of x"),
        (lambda: ops.gelu(X[0, 0:1].reshape(()), bias=X[0]), ValueError, "bias: x has no axis"),
        (lambda: ops.relu(X[:, :3], out=X[:, 1:]), ValueError, "out: overlaps the memory of x"),
        (lambda: ops.relu_backward(X[:2], X), ValueError, "grad: expected shape"),
        (lambda: ops.swiglu(X, X[:2]), ValueError, "up: expected shape"),
        (lambda: ops.swiglu_backward(X, X, X, out=X), TypeError, "out: expected a tuple of two"),
        (lambda: ops.swiglu_backward(X, X, X, out=(a := X.copy(), a)), ValueError, "out"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
