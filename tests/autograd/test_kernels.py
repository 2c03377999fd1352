"""The kernels behind Tensor's operators: every dtype, instruction set and layout against NumPy."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, mutually_broadcastable_shapes

from pyllm import _cpu, memory
from pyllm.autograd import Tensor
from tests.tolerance import assert_close, compute_roundoff

# Roundings in units of the compute type. exp and log: 2 ulp (vmath.h); tanh and sigmoid: an exp,
# whose error reaches the result at most once, and three operations.
UNARY = {
    "negative": (np.negative, 0),
    "absolute": (np.absolute, 0),
    "sqrt": (np.sqrt, 1),
    "exp": (np.exp, 4),
    "log": (np.log, 4),
    "tanh": (np.tanh, 8),
    "sigmoid": (lambda x: 1 / (1 + np.exp(-x)), 8),
}
BINARY = ["add", "subtract", "multiply", "divide", "maximum", "minimum"]
SPECIAL = [0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 1e-3, -87.5, 88.0, -103.0, 60.0]


def layouts(x):
    """The same values, stored in several ways."""
    wide = np.empty((*x.shape[:-1], 2 * x.shape[-1]), x.dtype)
    wide[..., ::2] = x
    return {"plain": x, "every other": wide[..., ::2], "turned": np.asfortranarray(x)}


@pytest.mark.parametrize("name", UNARY)
def test_unary(name, dtype, isa, rng):
    function, ops = UNARY[name]
    x = rng.normal(0, 3, (5, 77))
    x = (np.abs(x) if name in ("sqrt", "log") else x).astype(dtype)
    x[0, : len(SPECIAL)] = SPECIAL
    with np.errstate(all="ignore"):
        expected = function(x.astype(np.float64))
        biggest = np.finfo(np.float32).max if dtype == np.float32 else None
    if biggest is not None:
        expected = np.where(expected > biggest, np.inf, expected)
    for layout in layouts(x).values():
        got = _cpu.pointwise_unary(name, layout)
        finite = expected if dtype != np.float16 else np.where(expected > 65519, np.inf, expected)
        # Near 1, log is as exact as its argument's distance from 1 allows.
        scale = np.maximum(np.abs(finite), 2.0**-3) if name == "log" else None
        assert_close(got, finite, ops=ops, scale=scale)


@pytest.mark.parametrize("name", ["exp", "log", "tanh", "sigmoid"])
@pytest.mark.parametrize("half", ["bfloat16", "float16"])
def test_unary_of_every_16_bit_number(name, half, isa):
    dtype = np.dtype(getattr(ml_dtypes, half, half))
    x = np.arange(1 << 16, dtype=np.uint16).view(dtype)
    with np.errstate(all="ignore"):
        expected = UNARY[name][0](x.astype(np.float64))
        rounded = expected.astype(dtype).astype(np.float64)
    # 2^-20 before the rounding to storage (vmath16.h)
    assert_close(
        _cpu.pointwise_unary(name, x), np.where(np.isinf(rounded), rounded, expected), ops=16
    )


@pytest.mark.parametrize("name", BINARY)
def test_binary(name, dtype, isa, rng):
    a, b = rng.normal(size=(2, 6, 45)).astype(dtype)
    a[0, : len(SPECIAL)] = SPECIAL
    b[1, : len(SPECIAL)] = SPECIAL
    row, column, one = b[:1], a[:, :1], np.asarray(b[2, 3])
    for left, right in [
        (a, b),
        (a, row),
        (column, b),
        (a, one),
        (one, one),
        (a[:, ::3], b[:, ::3]),
    ]:
        with np.errstate(all="ignore"):
            expected = getattr(np, name)(left.astype(np.float64), right.astype(np.float64))
            rounded = expected.astype(dtype)
        got = _cpu.pointwise_binary(name, left, right)
        assert got.dtype == dtype
        np.testing.assert_array_equal(got.astype(np.float64), rounded.astype(np.float64))


@given(shapes=mutually_broadcastable_shapes(num_shapes=2, max_dims=4, min_side=0, max_side=4))
def test_shapes_broadcast_as_numpys(shapes):
    one, two = (np.arange(np.prod(s), dtype=np.float32).reshape(s) for s in shapes.input_shapes)
    got = _cpu.pointwise_binary("subtract", one, two)
    np.testing.assert_array_equal(got, one - two)


@pytest.mark.parametrize("name", ["sum", "max", "min"])
@pytest.mark.parametrize("leading", [True, False])
@given(shape=array_shapes(min_dims=1, max_dims=3, max_side=40), axes=st.integers(0, 3))
def test_reduce(name, leading, shape, axes):
    axes = min(axes, len(shape))
    x = np.random.default_rng(axes).normal(size=shape).astype(np.float32)
    over = tuple(range(axes)) if leading else tuple(range(len(shape) - axes, len(shape)))
    got = _cpu.reduce(name, x, axes, leading)
    expected = getattr(np, name)(x.astype(np.float64), axis=over)
    count = x.size / max(got.size, 1)
    scale = np.abs(x).sum(over, dtype=np.float64) if name == "sum" else None
    assert_close(got, expected, ops=np.sqrt(count) if name == "sum" else 0, scale=scale)


@pytest.mark.parametrize("name", ["sum", "max", "min"])
@pytest.mark.parametrize("shape", [(3, 20000), (20000, 3), (1, 100_000), (700, 130)])
@pytest.mark.parametrize("leading", [True, False])
def test_reduce_is_the_same_at_any_thread_count(name, shape, leading, dtype, isa, threads, rng):
    x = rng.normal(size=shape).astype(dtype)
    results = []
    for count in (1, 2, 3):
        threads(count)
        results.append(_cpu.reduce(name, x, 1, leading).tobytes())
    assert results == results[:1] * 3
    wide = x.astype(np.float64)
    over = 0 if leading else 1
    got = _cpu.reduce(name, x, 1, leading)
    if name == "sum":
        # Few terms round in a chain, many like a random walk; so does the float64 reference.
        roundings = 2 * (min(shape[over], 8) + np.sqrt(shape[over]))
        bound = roundings * compute_roundoff(dtype) * np.abs(wide).sum(over)
        assert np.all(np.abs(got.astype(np.float64) - wide.sum(over)) <= bound)
    else:
        np.testing.assert_array_equal(got.astype(np.float64), getattr(wide, name)(over))


@pytest.mark.parametrize("name", ["max", "min"])
@pytest.mark.parametrize("place", [0, 17, 99])
def test_extrema_keep_nan(name, place, dtype, isa):
    x = np.ones((100, 100), dtype)
    x[place, place] = np.nan
    for leading in (True, False):
        found = np.isnan(_cpu.reduce(name, x, 1, leading).astype(np.float32))
        np.testing.assert_array_equal(np.flatnonzero(found), [place])


def test_operands_may_be_overwritten(rng):
    a, b = rng.normal(size=(2, 300)).astype(np.float32)
    expected = a * b
    assert _cpu.pointwise_binary("multiply", a, b, a) is a
    np.testing.assert_array_equal(a, expected)


X = np.ones((3, 4), np.float32)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: _cpu.pointwise_unary("cube", X), ValueError, "op: expected one of negative"),
        (lambda: _cpu.pointwise_unary("exp", [1.0]), TypeError, "x"),
        (lambda: _cpu.pointwise_unary("exp", X.astype(int)), TypeError, "x: .*int64"),
        (lambda: _cpu.pointwise_binary("add", X, X[:2]), ValueError, "does not broadcast"),
        (lambda: _cpu.pointwise_binary("add", X, X.astype(float)), TypeError, "b: .*float64"),
        (lambda: _cpu.pointwise_binary("add", X[:, :1], X, X[:, :1]), ValueError, "out"),
        (lambda: _cpu.pointwise_binary("add", X[:1], X, X), ValueError, "out: overlaps"),
        (lambda: _cpu.pointwise_unary("exp", X[:, :3], X[:, 1:]), ValueError, "out: overlaps"),
        (lambda: _cpu.reduce("mean", X, 1, True), ValueError, "op: expected one of sum"),
        (lambda: _cpu.reduce("sum", X, 3, True), ValueError, "axes: expected 0 to 2"),
        (lambda: _cpu.reduce("sum", X[:, ::2], 1, True), ValueError, "x: .*contiguous"),
        (lambda: _cpu.reduce("max", X[:0], 1, True), ValueError, "x: no elements"),
    ],
)
def test_hostile_input(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_tensors_of_many_axes_fall_back_to_numpy():
    x = Tensor(np.full((1,) * 9 + (3,), 2.0, np.float32), requires_grad=True)
    ((x * x).exp().sigmoid().sum()).backward()
    assert x.grad.shape == x.shape


def test_repeating_a_step_maps_no_new_memory(rng):
    x = Tensor(rng.normal(size=(256, 512)).astype(np.float32))
    w = Tensor(rng.normal(size=(512, 512)).astype(np.float32), requires_grad=True)

    def step():
        w.zero_grad()
        (((x @ w).tanh() * 2 + 1).exp().mean(0).max()).backward()

    step()
    step()
    before = memory.stats()["system_allocations"]
    for _ in range(3):
        step()
    assert memory.stats()["system_allocations"] == before
