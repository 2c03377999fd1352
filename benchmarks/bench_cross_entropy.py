"""cross_entropy against torch at the vocabulary of GPT-2, and at that of characters."""

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
from torch.nn import functional

from pyllm import ops
from pyllm.bench import Case, cases


def problem(rows, classes):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(rows, classes)).astype(np.float32)
    targets = rng.integers(0, classes, rows)
    return logits, targets, torch.from_numpy(logits), torch.from_numpy(targets)


def forward(rows, classes):
    logits, targets, their_logits, their_targets = problem(rows, classes)
    return {
        "pyllm": lambda: ops.cross_entropy(logits, targets),
        "torch": lambda: functional.cross_entropy(their_logits, their_targets),
    }


def forward_backward(rows, classes):
    """Ours with fresh gradients and, as a training loop would, in the place of the logits."""
    logits, targets, their_logits, their_targets = problem(rows, classes)
    their_logits.requires_grad_()

    def ours(out=None):
        _, lse = ops.cross_entropy(logits, targets, return_lse=True)
        ops.cross_entropy_backward(1.0, logits, targets, lse, out=out)

    def theirs():
        their_logits.grad = None
        functional.cross_entropy(their_logits, their_targets).backward()

    return {"pyllm": ours, "torch": theirs}


@cases("ops")
def cross_entropy() -> Iterator[Case]:
    for rows, classes in ((1024, 50257), (3072, 65)):
        size, name = rows * classes * 4, f"{rows}x{classes}"
        yield Case(
            f"cross_entropy forward {name}",
            partial(forward, rows, classes),
            bytes=size,
            traffic="read",
        )
        yield Case(
            f"cross_entropy forward+backward {name}",
            partial(forward_backward, rows, classes),
            bytes=3 * size,
            working_set=2 * size,
            repeats=9,
        )
    yield Case("cross_entropy 2x4, call overhead", partial(forward, 2, 4), calls=1000)
