"""Rotary embedding through Triton's interpreter."""

import numpy as np
import pytest
import torch

from pyllm import ops as torch_ops
from tests.ops import test_rotary as conformance
from tests.reference.rotary import rotary as reference
from tests.tolerance import assert_close
from tests.triton.arrays import numpy_ops as ops


@conformance.layouts
@pytest.mark.parametrize("half", [0, 1, 8, 19])
def test_forward_and_backward(dtype, interleaved, half, rng):
    x = rng.normal(size=(2, 7, 3, 40)).astype(dtype)
    cos, sin = torch_ops.rotary_cache(20, 2 * half)
    options = {"positions": rng.integers(0, 20, (2, 7)), "interleaved": interleaved}
    y, back = ops.rotary(x, cos, sin, **options), ops.rotary_backward(x, cos, sin, **options)
    scale = 2 * np.abs(x.astype(np.float64)).max()
    assert_close(y, reference(x, cos, sin, **options), ops=3, scale=scale)
    assert_close(back, reference(x, cos, -sin, **options), ops=3, scale=scale)


@conformance.layouts
def test_layouts(interleaved, rng):
    x = torch.from_numpy(rng.normal(size=(5, 2, 3, 70)).astype(np.float32)).transpose(0, 1)
    cos, sin = map(torch.from_numpy, torch_ops.rotary_cache(5, 64))
    y = torch_ops.rotary(x, cos, sin, interleaved=interleaved)
    assert_close(y.numpy(), reference(x, cos, sin, None, interleaved), ops=3, scale=8.0)
    for i in range(2):  # one sequence of a packed batch
        one = torch_ops.rotary(x[i], cos, sin, interleaved=interleaved)
        assert torch.equal(one, y[i])
    order = torch.tensor([4, 3, 2, 1, 0], dtype=torch.int32)
    turned = torch_ops.rotary(x.flip(1), cos, sin, positions=order, interleaved=interleaved)
    assert torch.equal(turned.flip(1), y)
    assert torch_ops.rotary(x, cos, sin, interleaved=interleaved, out=x) is x
    assert torch.equal(x, y)


X = torch.ones(1, 5, 2, 8)
COS, SIN = map(torch.from_numpy, torch_ops.rotary_cache(4, 8))


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((X, COS, SIN), {}, ValueError, "cos: has 4 positions, x needs 5"),
        (
            (X, COS, SIN),
            {"positions": torch.tensor([0, 1, -1, 2, 3])},
            ValueError,
            "0 <= position < 4, got -1",
        ),
        ((X, COS, SIN), {"positions": torch.tensor([4] * 5)}, ValueError, "position < 4, got 4"),
        ((X, COS, SIN), {"positions": torch.zeros(2, 5).int()}, ValueError, "positions: expected"),
        ((X, COS, SIN), {"positions": torch.zeros(5)}, TypeError, "positions: expected dtype"),
        ((X[..., :6], COS, SIN), {}, ValueError, "cos: has 4 pairs, x only 6"),
        ((X, COS, SIN[:2]), {}, ValueError, "sin: expected shape"),
        ((X[0, 0], COS, SIN), {}, ValueError, r"x: expected .batch, seq, heads, dim"),
    ],
)
def test_bad_input(arguments, options, error, message):
    with pytest.raises(error, match=message):
        torch_ops.rotary(*arguments, **options)
