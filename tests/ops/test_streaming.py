"""Outputs that outgrow the caches are stored past them: the same bits, at any alignment."""

import numpy as np
import pytest

from pyllm import _cpu, ops

ROWS, COLUMNS = 9, 147


@pytest.fixture
def streaming():
    """A function that makes every output outgrow the caches, or none; put back after the test."""
    yield lambda on: _cpu.set_last_level_cache(1 if on else 1 << 40)
    _cpu.set_last_level_cache(0)


def softmax_backward(x, g, out):
    return ops.softmax_backward(g, ops.softmax(x), out=out)


def cross_entropy_backward(x, g, out):
    targets = np.arange(ROWS)
    _, lse = ops.cross_entropy(x, targets, return_lse=True)
    return ops.cross_entropy_backward(1.0, x, targets, lse, label_smoothing=0.1, out=out)


def swiglu_backward(x, g, out):
    return ops.swiglu_backward(g, x, g, out=(out, np.empty_like(out)))[0]


CALLS = {
    "gelu": lambda x, g, out: ops.gelu(x, out=out),
    "gelu with bias": lambda x, g, out: ops.gelu(x, bias=g[0], out=out),
    "gelu_backward": lambda x, g, out: ops.gelu_backward(g, x, out=out),
    "swiglu": lambda x, g, out: ops.swiglu(x, g, out=out),
    "swiglu_backward": swiglu_backward,
    "dropout": lambda x, g, out: ops.dropout(x, 0.3, seed=1, residual=g, out=out),
    "softmax": lambda x, g, out: ops.softmax(x, out=out),
    "log_softmax": lambda x, g, out: ops.log_softmax(x, out=out),
    "softmax_backward": softmax_backward,
    "cross_entropy_backward": cross_entropy_backward,
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("offset", [0, 1, 5])
def test_same_bits(isa, dtype, streaming, name, offset, rng):
    x, g = rng.normal(size=(2, ROWS, COLUMNS)).astype(dtype)
    results = []
    for on in (False, True):
        streaming(on)
        out = np.zeros(ROWS * COLUMNS + 16, dtype)
        inside = out[offset : offset + x.size].reshape(x.shape)
        assert CALLS[name](x, g, inside) is inside
        assert not out[:offset].any()
        assert not out[offset + x.size :].any()
        results.append(inside.tobytes())
    assert results[0] == results[1]


@pytest.mark.parametrize("columns", [64, 147])
def test_norms(isa, dtype, streaming, columns, rng):
    x, g = rng.normal(size=(2, ROWS, columns)).astype(dtype)
    weight, bias = rng.normal(size=(2, columns)).astype(dtype)
    results = []
    for on in (False, True):
        streaming(on)
        y, mean, rstd = ops.layer_norm(x, weight, bias, return_stats=True)
        results.append([y, *ops.layer_norm_backward(g, x, weight, mean, rstd), ops.rms_norm(x)])
    for plain, streamed in zip(*results, strict=True):
        assert plain.tobytes() == streamed.tobytes()


def test_in_place(isa, streaming, rng):
    streaming(True)
    x = rng.normal(size=(ROWS, COLUMNS)).astype(np.float32)
    for call in (ops.gelu, ops.softmax):
        expected = call(x)
        y = x.copy()
        assert call(y, out=y) is y
        np.testing.assert_array_equal(y, expected)
