"""softmax against torch: fresh output (what `torch.softmax(x, -1)` gives) and preallocated."""

from collections.abc import Iterator

import numpy as np
import torch

from pyllm import ops
from pyllm.bench import Case, cases

ROWS, COLUMNS = 8192, 1024
BYTES = ROWS * COLUMNS * 4


def forward():
    x = np.random.default_rng(0).normal(size=(ROWS, COLUMNS)).astype(np.float32)
    t = torch.from_numpy(x)
    return {"pyllm": lambda: ops.softmax(x), "torch": lambda: torch.softmax(t, -1)}


def forward_out():
    x = np.random.default_rng(0).normal(size=(ROWS, COLUMNS)).astype(np.float32)
    t, out = torch.from_numpy(x), np.empty_like(x)
    their_out = torch.empty_like(t)
    return {
        "pyllm": lambda: ops.softmax(x, out=out),
        "torch": lambda: torch.softmax(t, -1, out=their_out),
    }


def forward_backward():
    x, grad = np.random.default_rng(0).normal(size=(2, ROWS, COLUMNS)).astype(np.float32)
    t, g = torch.from_numpy(x).requires_grad_(), torch.from_numpy(grad)

    def theirs():
        t.grad = None
        torch.softmax(t, -1).backward(g)

    return {"pyllm": lambda: ops.softmax_backward(grad, ops.softmax(x)), "torch": theirs}


def tiny():
    x = np.ones((2, 4), np.float32)
    t = torch.from_numpy(x)
    return {"pyllm": lambda: ops.softmax(x), "torch": lambda: torch.softmax(t, -1)}


@cases("ops")
def softmax() -> Iterator[Case]:
    yield Case(f"softmax forward {ROWS}x{COLUMNS}", forward, bytes=2 * BYTES)
    yield Case(f"softmax forward, out=, {ROWS}x{COLUMNS}", forward_out, bytes=2 * BYTES)
    yield Case(
        f"softmax forward+backward {ROWS}x{COLUMNS}",
        forward_backward,
        bytes=5 * BYTES,
        working_set=4 * BYTES,
    )
    yield Case("softmax 2x4, call overhead", tiny, calls=1000)
