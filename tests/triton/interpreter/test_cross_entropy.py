"""cross_entropy through Triton's interpreter: the CPU's conformance tests, and what is its own."""

import pytest
import torch

from pyllm import ops as torch_ops
from tests.ops import test_cross_entropy as conformance
from tests.triton.arrays import numpy_ops as ops


@pytest.fixture(autouse=True)
def served_by_triton(monkeypatch):
    monkeypatch.setattr(conformance, "ops", ops)


@conformance.reductions
@pytest.mark.parametrize("kind", ["plain", "weighted", "all"])
@pytest.mark.parametrize("shape", [(1, 1), (3, 5, 40), (2, 5003)])
def test_forward_and_backward(dtype, reduction, kind, shape, rng):
    conformance.test_forward_and_backward("interpreter", dtype, reduction, kind, shape, rng)


@conformance.reductions
def test_all_ignored(reduction, rng):
    conformance.test_all_ignored("interpreter", reduction, rng)


def test_special_rows(rng):
    conformance.test_ignore_index_may_be_a_class("interpreter", rng)
    conformance.test_infinite_logits("interpreter")
    conformance.test_the_maximum_may_come_late("interpreter", rng)
    conformance.test_gradient_in_place("interpreter", rng)


def test_strided_logits_and_a_gradient_a_row():
    logits = torch.randn(7, 4, 3).permute(2, 1, 0)
    targets = torch.tensor([[0, 6, -100, 3]] * 3, dtype=torch.int32)
    _, lse = torch_ops.cross_entropy(logits, targets, return_lse=True)
    grad = torch.randn(3, 4)
    got = torch_ops.cross_entropy_backward(grad, logits, targets, lse, reduction="none")
    whole = torch_ops.cross_entropy_backward(1.0, logits, targets, lse, reduction="sum")
    torch.testing.assert_close(got, whole * grad[..., None])
    device = torch.tensor(0.25)  # a gradient that stays on the device
    mean = torch_ops.cross_entropy_backward(device, logits, targets, lse)
    torch.testing.assert_close(mean, whole * (0.25 / 9))


def test_no_classes():
    targets = torch.tensor([-100])
    loss, lse = torch_ops.cross_entropy(torch.empty(1, 0), targets, return_lse=True)
    assert loss.isnan()
    assert lse.item() == 0


X = torch.ones(2, 3, 4)
T = torch.zeros(2, 3, dtype=torch.int64)
L = torch.zeros(2, 3)
BAD = torch.tensor([[0, 0, 0], [0, 0, 4]])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: torch_ops.cross_entropy(X[0, 0, 0], T), ValueError, "logits: .* axis"),
        (lambda: torch_ops.cross_entropy(X, L), TypeError, "targets: expected dtype int32"),
        (lambda: torch_ops.cross_entropy(X, T[0]), ValueError, "targets: expected shape"),
        (
            lambda: torch_ops.cross_entropy(X, BAD),
            ValueError,
            r"targets: 4 at position \(1, 2",
        ),
        (lambda: torch_ops.cross_entropy(X, T - 1), ValueError, r"targets: -1 at position \(0, 0"),
        (lambda: torch_ops.cross_entropy(X, T, weight=L[0]), ValueError, "weight: expected shape"),
        (lambda: torch_ops.cross_entropy(X, T, label_smoothing=1.5), ValueError, "label_smoothing"),
        (lambda: torch_ops.cross_entropy(X, T, z_loss=-1.0), ValueError, "z_loss: expected"),
        (lambda: torch_ops.cross_entropy(X, T, reduction="avg"), ValueError, "reduction: expected"),
        (lambda: torch_ops.cross_entropy_backward("a", X, T, L), TypeError, "grad: expected a num"),
        (lambda: torch_ops.cross_entropy_backward(L, X, T, L), ValueError, "grad: expected a sin"),
        (lambda: torch_ops.cross_entropy_backward(1.0, X, T, L[0]), ValueError, "lse: expected sh"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
