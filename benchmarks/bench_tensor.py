"""Tensor's operators beside torch's: arithmetic, functions of elements, reductions."""

from collections.abc import Callable, Iterator
from typing import Any

import ml_dtypes
import numpy as np
import torch

from pyllm import Tensor
from pyllm.bench import Case, cases

SHAPE = (2048, 1024)
DTYPES = {
    "float32": (np.float32, torch.float32),
    "bfloat16": (ml_dtypes.bfloat16, torch.bfloat16),
}

# Name, what both do with (x, y, row, column), and how many arrays of the full shape must move.
OPERATIONS: list[tuple[str, Callable[..., Any], int]] = [
    ("x * y", lambda x, y, row, column: x * y, 3),
    ("x + row", lambda x, y, row, column: x + row, 2),
    ("x - column", lambda x, y, row, column: x - column, 2),
    ("exp", lambda x, y, row, column: x.exp(), 2),
    ("log", lambda x, y, row, column: x.log(), 2),
    ("tanh", lambda x, y, row, column: x.tanh(), 2),
    ("sigmoid", lambda x, y, row, column: x.sigmoid(), 2),
    ("sum", lambda x, y, row, column: x.sum(), 1),
    ("sum over rows", lambda x, y, row, column: x.sum(0), 1),
    ("max along rows", lambda x, y, row, column: x.max(1), 1),
]


def sides(function: Callable[..., Any], ours: Any, theirs: Any):
    def make():
        x, y = np.random.default_rng(0).uniform(0.5, 2, (2, *SHAPE)).astype(np.float32)
        arrays = [x, y, x[0], x[:, :1]]
        tensors = [Tensor(a.astype(ours)) for a in arrays]
        peers = [torch.from_numpy(a.copy()).to(theirs) for a in arrays]
        return {"pyllm": lambda: function(*tensors), "torch": lambda: function(*peers)}

    return make


@cases("ops")
def tensor() -> Iterator[Case]:
    for dtype, (ours, theirs) in DTYPES.items():
        size = SHAPE[0] * SHAPE[1] * np.dtype(ours).itemsize
        for name, function, moved in OPERATIONS:
            yield Case(
                f"Tensor {name}, {SHAPE[0]}x{SHAPE[1]} {dtype}",
                sides(function, ours, theirs),
                bytes=moved * size,
            )
