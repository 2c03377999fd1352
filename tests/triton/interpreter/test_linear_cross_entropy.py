"""linear_cross_entropy on the Triton back end: the CPU's conformance tests, several chunks."""

import numpy as np
import pytest
import torch

from pyllm import ops as torch_ops
from pyllm.kernels.triton import linear_cross_entropy_forward_backward
from tests.ops import test_linear_cross_entropy as conformance
from tests.triton.arrays import numpy_ops as ops


@pytest.fixture(autouse=True)
def served_by_triton(monkeypatch):
    monkeypatch.setattr(conformance, "ops", ops)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("full", [False, True], ids=["plain", "all options"])
def test_matches_the_reference(dtype, reduction, full, rng):
    conformance.test_matches_the_reference("interpreter", dtype, reduction, full, rng)


@pytest.mark.parametrize("dtype", [np.dtype(np.float32), conformance.ml_dtypes.bfloat16])
def test_several_chunks(dtype, rng, monkeypatch):
    module = linear_cross_entropy_forward_backward.__globals__
    monkeypatch.setitem(module, "CHUNK_BYTES", 0)  # the fewest rows: 16
    hidden, weight, targets, bias = conformance.problem(rng, (40,), 33, 8, np.dtype(dtype))
    got = ops.linear_cross_entropy_forward_backward(hidden, weight, targets, bias=bias)
    conformance.check(got, hidden, weight, targets, bias, np.dtype(dtype))


def test_views_sums_and_nothing_at_all(rng):
    conformance.test_shifted_sequences_need_no_copy("interpreter", rng)
    conformance.test_accumulates("interpreter", rng)
    conformance.test_no_rows_and_all_ignored(rng)


H, W = torch.ones(3, 4), torch.ones(5, 4)
T = torch.zeros(3, dtype=torch.int64)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((H, W[:, :3], T), {}, ValueError, "hidden: expected 3 features"),
        ((H, W[0], T), {}, ValueError, "weight: expected 2 axes"),
        ((H, W.half(), T), {}, TypeError, "weight: expected dtype float32"),
        ((H, W, T[:2]), {}, ValueError, "targets: expected shape"),
        ((H, W, T), {"bias": W[0]}, ValueError, "bias: expected shape"),
        ((H, W, T), {"accumulate": True}, ValueError, "dweight_out: accumulate=True needs"),
        ((H, W, T), {"dweight_out": W}, ValueError, "dweight_out: overlaps the memory of weight"),
        ((H, W, T), {"dhidden_out": H}, ValueError, "dhidden_out: overlaps the memory of hidden"),
        ((H, W, T), {"dhidden_out": W}, ValueError, "dhidden_out: expected shape"),
    ],
)
def test_bad_input(arguments, options, error, message):
    with pytest.raises(error, match=message):
        torch_ops.linear_cross_entropy_forward_backward(*arguments, **options)
