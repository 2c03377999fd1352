"""The conformance tests of the CPU's activations and gated units, through Triton's interpreter."""

import pytest
import torch

from pyllm import ops as torch_ops
from tests.ops import test_activation as conformance
from tests.triton.arrays import numpy_ops as ops


def tanh(op):
    return lambda *args, **options: op(*args, approximate="tanh", **options)


SERVED = {
    "FORWARD": {"gelu": ops.gelu, "gelu_tanh": tanh(ops.gelu), "silu": ops.silu, "relu": ops.relu},
    "BACKWARD": {
        "gelu": ops.gelu_backward,
        "gelu_tanh": tanh(ops.gelu_backward),
        "silu": ops.silu_backward,
        "relu": ops.relu_backward,
    },
    "GLU": {"silu": ops.swiglu, "gelu": ops.geglu, "gelu_tanh": tanh(ops.geglu)},
    "GLU_BACKWARD": {
        "silu": ops.swiglu_backward,
        "gelu": ops.geglu_backward,
        "gelu_tanh": tanh(ops.geglu_backward),
    },
}


@pytest.fixture(autouse=True)
def served_by_triton(monkeypatch):
    for name, table in SERVED.items():
        monkeypatch.setattr(conformance, name, table)


@conformance.each
@pytest.mark.parametrize("shape", [(), (1,), (3, 5), (3, 700), (5, 0), (0, 4)])
def test_forward_and_backward(dtype, name, shape, rng):
    conformance.test_forward_and_backward("interpreter", dtype, name, shape, rng)


@conformance.each
@pytest.mark.parametrize("shape", [(4,), (3, 33), (40, 300), (3, 0)])
def test_bias(dtype, name, shape, rng):
    conformance.test_bias("interpreter", dtype, name, shape, rng)


@conformance.each_glu
@pytest.mark.parametrize("biases", [(), ("gate_bias",), ("up_bias",), ("gate_bias", "up_bias")])
def test_gated(dtype, name, biases, rng):
    conformance.test_gated("interpreter", dtype, name, biases, rng)


def test_layouts_and_in_place():
    x = torch.randn(6, 4, 5).permute(2, 0, 1)[::2]
    expected, slope = torch_ops.silu(x.contiguous()), torch_ops.silu_backward(x, x)
    wide = torch.zeros(3, 6, 8)
    assert torch.equal(torch_ops.silu(x), expected)
    assert torch.equal(torch_ops.silu(x, out=wide[..., ::2]), expected)
    assert not wide[..., 1::2].any()
    own = x.contiguous()
    assert torch_ops.silu_backward(own, own, out=own) is own
    assert torch.equal(own, slope)


def test_gradients_land_in_a_packed_array():
    gate, up, grad = torch.randn(3, 4, 10)
    packed = torch.zeros(4, 20)
    halves = packed[:, :10], packed[:, 10:]
    expected = torch_ops.swiglu_backward(grad, gate, up)
    got = torch_ops.swiglu_backward(grad, gate, up, out=halves)
    assert got[0] is halves[0]
    assert torch.equal(packed, torch.cat(expected, 1))


X = torch.ones(3, 4)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: torch_ops.gelu(X, approximate="sigmoid"), ValueError, "approximate: expected"),
        (lambda: torch_ops.gelu(X, bias=X[0, :3]), ValueError, "bias: expected shape"),
        (lambda: torch_ops.gelu(X, bias=X[0].half()), TypeError, "bias: expected dtype float32"),
        (lambda: torch_ops.silu(X[0, 0], bias=X[0]), ValueError, "bias: x has no axis"),
        (lambda: torch_ops.relu(X[:, 1:], out=X[:, :3]), ValueError, "out: overlaps the memory"),
        (lambda: torch_ops.swiglu(X, X.T), ValueError, "up: expected shape"),
        (lambda: torch_ops.swiglu_backward(X, X, X, out=X), TypeError, "out: expected a tuple"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
