"""layer_norm and rms_norm through Triton's interpreter: the CPU's conformance tests, long rows."""

import numpy as np
import pytest
import torch

from pyllm import ops as torch_ops
from tests.ops import test_layer_norm, test_rms_norm
from tests.reference import layer_norm, rms_norm
from tests.tolerance import assert_close
from tests.triton.arrays import numpy_ops as ops

EPS = 1e-5


@pytest.fixture(autouse=True)
def served_by_triton(monkeypatch):
    for conformance in (test_layer_norm, test_rms_norm):
        monkeypatch.setattr(conformance, "ops", ops)


@pytest.mark.parametrize("conformance", [test_layer_norm, test_rms_norm])
def test_storage_types(conformance, dtype, rng):
    conformance.test_storage_types("interpreter", dtype, rng)


def test_layer_norm_layouts_and_special_values(rng):
    test_layer_norm.test_strides_and_in_place("interpreter", rng)
    test_layer_norm.test_nan_and_large_values("interpreter")


@pytest.mark.parametrize("shape", [(0, 4), (3, 1), (2, 3, 130), (2, 9000)])
def test_residual_and_statistics(shape, rng):
    x, r, g, more = rng.normal(size=(4, *shape)).astype(np.float32)
    w, b = rng.normal(size=(2, shape[-1])).astype(np.float32)
    wide = [a.astype(np.float64) for a in (x + r, w, b, g)]
    s64, w64, b64, g64 = wide
    y, s, mean, rstd = ops.layer_norm(x, w, b, residual=r, eps=EPS, return_stats=True)
    np.testing.assert_array_equal(s, x + r)
    scale = (1 + np.abs(s)) * (1 + rstd[..., None]) * (1 + np.abs(w)) + np.abs(b)
    assert_close(y, layer_norm.layer_norm(s64, w64, b64, EPS), ops=8, scale=scale)
    assert_close(mean, s64.mean(-1), ops=8, scale=np.abs(s).max(-1, initial=1))
    dx, dw, db = ops.layer_norm_backward(g, s, w, mean, rstd, grad_sum=more)
    expected = layer_norm.layer_norm_backward(g64, s64, w64, EPS)
    scale = 10 * (1 + rstd.max(initial=1)) ** 2
    assert_close(dx, expected[0] + more, ops=30, scale=scale)
    assert_close(dw, expected[1], ops=30, scale=scale)
    assert_close(db, expected[2], ops=30, scale=10.0)

    y, s, rstd = ops.rms_norm(x, w, residual=r, eps=EPS, return_stats=True)
    assert_close(y, rms_norm.rms_norm(s64, w64, EPS), ops=24)
    assert_close(rstd, 1 / np.sqrt((s64**2).mean(-1) + EPS), ops=24)
    dx, dw = ops.rms_norm_backward(g, s, w, rstd)
    expected = rms_norm.rms_norm_backward(g64, s64, w64, EPS)
    scale = 10 * (1 + rstd.max(initial=1)) ** 2
    assert_close(dx, expected[0], ops=30, scale=scale)
    assert_close(dw, expected[1], ops=30, scale=scale)


def test_many_rows_share_a_program(rng):
    x, g = rng.normal(size=(2, 300, 3)).astype(np.float32)
    w = rng.normal(size=3).astype(np.float32)
    _, mean, rstd = ops.layer_norm(x, w, return_stats=True)
    _, dw, db = ops.layer_norm_backward(g, x, w, mean, rstd)
    expected = layer_norm.layer_norm_backward(*(a.astype(np.float64) for a in (g, x, w)), EPS)
    assert_close(dw, expected[1], ops=30, scale=60.0)
    assert_close(db, expected[2], ops=30, scale=60.0)


def test_without_parameters_and_mixed_types(rng):
    x, g = torch.from_numpy(rng.normal(size=(2, 4, 10))).to(torch.bfloat16)
    w = torch.ones(10)
    y, mean, rstd = torch_ops.layer_norm(x, return_stats=True)
    assert torch.equal(torch_ops.layer_norm(x, w), y)
    assert torch_ops.layer_norm_backward(g, x, None, mean, rstd)[1:] == (None, None)
    dx, dw, _ = torch_ops.layer_norm_backward(g, x, w, mean, rstd)
    assert dx.dtype == torch.bfloat16
    assert dw.dtype == torch.float32


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weight": torch.ones(3)}, "weight: expected shape"),
        ({"weight": torch.ones(4).double()}, "weight: expected dtype float32"),
        ({"residual": torch.ones(2, 5)}, "residual: expected shape"),
        ({"eps": -1.0}, "eps: expected 0 or more"),
        ({"eps": float("nan")}, "eps"),
        ({"out": torch.ones(4, 2)}, "out: expected shape"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises((ValueError, TypeError), match=message):
        torch_ops.layer_norm(torch.ones(2, 4), **arguments)
    with pytest.raises(ValueError, match="at least one axis"):
        torch_ops.layer_norm(torch.zeros(()))
