"""layer_norm and rms_norm at 8192x768 against torch."""

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F

from pyllm import ops
from pyllm.bench import Case, cases

ROWS, FEATURES = 8192, 768
BYTES = ROWS * FEATURES * 4


def arrays():
    x, grad = np.random.default_rng(0).normal(size=(2, ROWS, FEATURES)).astype(np.float32)
    weight, bias = np.ones((2, FEATURES), np.float32)
    return x, grad, weight, bias


def layer_norm():
    x, _, weight, bias = arrays()
    t, w, b = (torch.from_numpy(a) for a in (x, weight, bias))
    return {
        "pyllm": lambda: ops.layer_norm(x, weight, bias),
        "torch": lambda: F.layer_norm(t, (FEATURES,), w, b),
    }


def layer_norm_with_backward():
    x, grad, weight, bias = arrays()
    leaves = [torch.from_numpy(a).requires_grad_() for a in (x, weight, bias)]
    g = torch.from_numpy(grad)

    def ours():
        _, mean, rstd = ops.layer_norm(x, weight, bias, return_stats=True)
        ops.layer_norm_backward(grad, x, weight, mean, rstd)

    def theirs():
        for leaf in leaves:
            leaf.grad = None
        F.layer_norm(leaves[0], (FEATURES,), *leaves[1:]).backward(g)

    return {"pyllm": ours, "torch": theirs}


def rms_norm():
    x, _, weight, _ = arrays()
    t, w = torch.from_numpy(x), torch.from_numpy(weight)
    return {
        "pyllm": lambda: ops.rms_norm(x, weight),
        "torch": lambda: F.rms_norm(t, (FEATURES,), w, 1e-6),
    }


def tiny():
    x, weight, bias = np.ones((2, 8), np.float32), np.ones(8, np.float32), np.ones(8, np.float32)
    t, w, b = (torch.from_numpy(a) for a in (x, weight, bias))
    return {
        "pyllm": lambda: ops.layer_norm(x, weight, bias),
        "torch": lambda: F.layer_norm(t, (8,), w, b),
    }


@cases("ops")
def norm() -> Iterator[Case]:
    size = f"{ROWS}x{FEATURES}"
    yield Case(f"layer_norm forward {size}", layer_norm, bytes=2 * BYTES)
    yield Case(
        f"layer_norm forward+backward {size}",
        layer_norm_with_backward,
        bytes=5 * BYTES,
        working_set=4 * BYTES,
    )
    yield Case(f"rms_norm forward {size}", rms_norm, bytes=2 * BYTES)
    yield Case("layer_norm 2x8, call overhead", tiny, calls=1000)
