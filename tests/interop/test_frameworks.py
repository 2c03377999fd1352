"""Arrays of torch and JAX go in and come back, without a copy, in any order of imports."""

import os
import subprocess
import sys

import numpy as np
import pytest

from pyllm import ops

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
def test_torch(dtype):
    x = torch.randn(5, 7, dtype=getattr(torch, dtype)).T
    y = ops.softmax(x)
    assert type(y) is torch.Tensor
    assert y.dtype == x.dtype
    torch.testing.assert_close(y, torch.softmax(x, -1))
    out = torch.empty(7, 5, dtype=x.dtype)
    address = out.data_ptr()
    assert ops.softmax(x, out=out) is out
    assert out.data_ptr() == address
    assert torch.equal(out, y)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_jax(dtype):
    x = jax.random.normal(jax.random.key(0), (4, 6), dtype)
    y = ops.softmax(x)
    assert isinstance(y, jax.Array)
    assert y.dtype == x.dtype
    tolerance = 1e-6 if dtype == "float32" else 1e-2
    expected = jax.nn.softmax(x.astype("float32"))
    np.testing.assert_allclose(y.astype("float32"), expected, atol=tolerance)


def test_jax_arrays_are_not_written_to():
    x = jax.numpy.ones((2, 3))
    with pytest.raises(ValueError, match="out: is read-only"):
        ops.softmax(x, out=x)


def test_torch_keeps_a_result_alive():
    y = ops.softmax(torch.ones(64, 64))
    others = [ops.softmax(torch.zeros(64, 64)) for _ in range(20)]
    assert len(others) == 20
    assert torch.equal(y, torch.full((64, 64), 1 / 64))


def test_a_tensor_that_needs_a_gradient_says_what_to_do():
    with pytest.raises((BufferError, RuntimeError), match=r"detach|requires? grad"):
        ops.softmax(torch.ones(3, requires_grad=True))


@pytest.mark.parametrize("first", ["pyllm", "torch"])
def test_import_order(first):
    second = "torch" if first == "pyllm" else "pyllm"
    code = (
        f"import {first}, {second}\n"
        "import torch\nfrom pyllm import ops\n"
        "x = torch.ones(500, 500)\n"
        "assert torch.allclose(ops.softmax(x).sum(), torch.tensor(500.0))\n"
        "print(float((x @ x)[0, 0]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "OMP_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "500.0"
