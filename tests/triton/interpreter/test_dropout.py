"""dropout through Triton's interpreter: the mask is the CPU's, element by element."""

import numpy as np
import pytest
import torch

from pyllm import ops as torch_ops
from tests.ops import test_dropout as conformance
from tests.triton.arrays import numpy_ops as ops


@pytest.fixture(autouse=True)
def served_by_triton(monkeypatch):
    monkeypatch.setattr(conformance, "ops", ops)


@pytest.mark.parametrize("n", [0, 1, 5, 1025, 5000])
@pytest.mark.parametrize("p", [0.0, 0.1, 0.9])
def test_mask_is_the_stream(n, p, dtype):
    conformance.test_mask_is_the_stream("interpreter", n, p, dtype)


@pytest.mark.parametrize(("seed", "stream"), [(0, 0), (1, 2**32), (2**64 - 1, 2**64 - 1)])
def test_mask_is_the_cpu_s(seed, stream):
    x = np.ones(3000, np.float32)
    with torch_ops.use_backend("auto"):
        expected = torch_ops.dropout(x, 0.3, seed=seed, stream=stream)
    np.testing.assert_array_equal(ops.dropout(x, 0.3, seed=seed, stream=stream), expected)


def test_strides_and_residual(rng):
    x = torch.from_numpy(rng.normal(size=(7, 6, 50))).permute(1, 0, 2).half()
    r = torch.from_numpy(rng.normal(size=x.shape)).half()
    plain = torch_ops.dropout(x.contiguous(), 0.4, seed=9)
    assert torch.equal(torch_ops.dropout(x, 0.4, seed=9), plain)
    got = torch_ops.dropout(x, 0.4, seed=9, residual=r)
    torch.testing.assert_close(got, plain + r, rtol=2e-3, atol=2e-3)
    assert torch.equal(got[plain == 0], r[plain == 0])


def test_dropped_infinities_are_zero_and_in_place_is_fine():
    x = torch.full((1000,), float("inf"))
    assert torch_ops.dropout(x, 0.5, seed=2, out=x) is x
    assert set(x.tolist()) == {0, float("inf")}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"p": 1.0, "seed": 0}, "p: expected 0 <= p < 1"),
        ({"p": float("nan"), "seed": 0}, "p: expected 0 <= p < 1"),
        ({"p": 0.1, "seed": 2**64}, "seed: expected a number from 0"),
        ({"p": 0.1, "seed": 0, "stream": -1}, "stream: expected a number from 0"),
        ({"p": 0.1, "seed": 0, "residual": torch.ones(3)}, "residual: expected shape"),
    ],
)
def test_bad_input(options, message):
    with pytest.raises(ValueError, match=message):
        torch_ops.dropout(torch.ones(4, 4), **options)
