"""gelu and swiglu at 2048x3072, and dropout, against torch."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
import torch.nn.functional as F

from pyllm import ops
from pyllm.bench import Case, cases

SHAPE = (2048, 3072)
BYTES = SHAPE[0] * SHAPE[1] * 4


def arrays(count):
    return np.random.default_rng(0).normal(size=(count, *SHAPE)).astype(np.float32)


def gelu(approximate: str) -> Callable[[], dict]:
    def sides():
        (x,) = arrays(1)
        t = torch.from_numpy(x)
        return {
            "pyllm": lambda: ops.gelu(x, approximate=approximate),
            "torch": lambda: F.gelu(t, approximate=approximate),
        }

    return sides


def gelu_with_backward(approximate: str) -> Callable[[], dict]:
    def sides():
        x, grad = arrays(2)
        t, g = torch.from_numpy(x).requires_grad_(), torch.from_numpy(grad)

        def ours():
            ops.gelu(x, approximate=approximate)
            ops.gelu_backward(grad, x, approximate=approximate)

        def theirs():
            t.grad = None
            F.gelu(t, approximate=approximate).backward(g)

        return {"pyllm": ours, "torch": theirs}

    return sides


def swiglu():
    gate, up = arrays(2)
    a, b = torch.from_numpy(gate), torch.from_numpy(up)
    return {"pyllm": lambda: ops.swiglu(gate, up), "torch": lambda: F.silu(a) * b}


def dropout():
    (x,) = arrays(1)
    t = torch.from_numpy(x)
    return {"pyllm": lambda: ops.dropout(x, 0.1, seed=1), "torch": lambda: F.dropout(t, 0.1)}


@cases("ops")
def activation() -> Iterator[Case]:
    size = f"{SHAPE[0]}x{SHAPE[1]}"
    for approximate, name in (("none", "gelu (erf)"), ("tanh", "gelu (tanh)")):
        yield Case(f"{name} forward {size}", gelu(approximate), bytes=2 * BYTES)
        yield Case(
            f"{name} forward+backward {size}",
            gelu_with_backward(approximate),
            bytes=5 * BYTES,
            working_set=4 * BYTES,
        )
    yield Case(f"swiglu forward {size}", swiglu, bytes=3 * BYTES, traffic="triad")
    yield Case(f"dropout forward {size}", dropout, bytes=2 * BYTES)
