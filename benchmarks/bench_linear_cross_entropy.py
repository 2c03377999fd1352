"""The vocabulary projection with its loss, forward and backward, against torch's two ops; the
gradient of the weight goes where it was before (`grad_buffer`, `.grad` kept) on both sides."""

from collections.abc import Iterator

import numpy as np
import torch
from torch.nn import functional

from pyllm import ops
from pyllm.bench import Case, cases

ROWS, WIDTH, CLASSES = 1024, 768, 50257


def forward_backward():
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(ROWS, WIDTH)).astype(np.float32)
    weight = (rng.normal(size=(CLASSES, WIDTH)) / np.sqrt(WIDTH)).astype(np.float32)
    targets = rng.integers(0, CLASSES, ROWS)
    dhidden, dweight = np.zeros_like(hidden), np.zeros_like(weight)
    their_targets = torch.from_numpy(targets)
    their_hidden, their_weight = (
        torch.from_numpy(x.copy()).requires_grad_() for x in (hidden, weight)
    )
    their_hidden.grad, their_weight.grad = (
        torch.zeros_like(x) for x in (their_hidden, their_weight)
    )

    def ours():
        ops.linear_cross_entropy_forward_backward(
            hidden, weight, targets, dhidden_out=dhidden, dweight_out=dweight, accumulate=True
        )

    def theirs():
        logits = functional.linear(their_hidden, their_weight)
        functional.cross_entropy(logits, their_targets).backward()

    return {"pyllm": ours, "torch": theirs}


@cases("ops")
def linear_cross_entropy() -> Iterator[Case]:
    yield Case(
        f"linear_cross_entropy forward+backward {ROWS}x{WIDTH}, {CLASSES} classes",
        forward_backward,
        flops=6 * ROWS * WIDTH * CLASSES,
        repeats=3,
        memory=True,
    )
