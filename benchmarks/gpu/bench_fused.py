"""Memory-bound ops against torch, and against our Triton kernels and Liger-Kernel where those are
installed."""

from collections.abc import Iterator
from importlib.util import find_spec

import torch
import torch.nn.functional as F

from pyllm import ops
from pyllm.bench import Case, cases
from pyllm.bench.device import by_triton

ROWS, WIDTH, VOCAB = 8192, 4096, 50304


def randn(*shape):
    return torch.randn(*shape, device="cuda", dtype=torch.bfloat16)


def softmax():
    x = randn(ROWS, WIDTH)
    sides = {"pyllm": lambda: ops.softmax(x), "torch": lambda: torch.softmax(x, -1)}
    return sides | by_triton(sides["pyllm"])


def rms_norm():
    x, weight = randn(ROWS, WIDTH), randn(WIDTH)
    sides = {
        "pyllm": lambda: ops.rms_norm(x, weight),
        "torch": lambda: F.rms_norm(x, (WIDTH,), weight, 1e-6),
    }
    if find_spec("liger_kernel"):
        from liger_kernel.ops.rms_norm import LigerRMSNormFunction

        sides["Liger"] = lambda: LigerRMSNormFunction.apply(x, weight, 1e-6)
    return sides | by_triton(sides["pyllm"])


def swiglu():
    gate, up = randn(ROWS, WIDTH), randn(ROWS, WIDTH)
    sides = {
        "pyllm": lambda: ops.swiglu(gate, up),
        "torch": lambda: F.silu(gate) * up,
    }
    if find_spec("liger_kernel"):
        from liger_kernel.ops.swiglu import LigerSiLUMulFunction

        sides["Liger"] = lambda: LigerSiLUMulFunction.apply(gate, up)
    return sides | by_triton(sides["pyllm"])


def cross_entropy():
    logits = randn(ROWS, VOCAB)
    targets = torch.randint(VOCAB, (ROWS,), device="cuda")
    leaf = logits.clone().requires_grad_()

    def ours():
        _, lse = ops.cross_entropy(logits, targets, return_lse=True)
        return ops.cross_entropy_backward(1.0, logits, targets, lse)

    sides = {
        "pyllm": ours,
        "torch": lambda: torch.autograd.grad(F.cross_entropy(leaf, targets), leaf),
    }
    if find_spec("liger_kernel"):
        from liger_kernel.transformers import LigerCrossEntropyLoss

        loss = LigerCrossEntropyLoss()
        # It writes the gradient over the logits, so each call gets its own.
        sides["Liger, with a copy"] = lambda: loss(logits.clone().requires_grad_(), targets)
    return sides | by_triton(ours)


def linear_cross_entropy():
    hidden, weight = randn(ROWS, WIDTH), randn(VOCAB, WIDTH)
    targets = torch.randint(VOCAB, (ROWS,), device="cuda")
    leaves = [x.clone().requires_grad_() for x in (hidden, weight)]

    def theirs():
        loss = F.cross_entropy(F.linear(*leaves), targets)
        return torch.autograd.grad(loss, leaves)

    def ours():
        return ops.linear_cross_entropy_forward_backward(hidden, weight, targets)

    sides = {"pyllm": ours, "torch": theirs, **by_triton(ours)}
    if find_spec("liger_kernel"):
        from liger_kernel.transformers import LigerFusedLinearCrossEntropyLoss

        fused = LigerFusedLinearCrossEntropyLoss()
        sides["Liger"] = lambda: torch.autograd.grad(fused(leaves[1], leaves[0], targets), leaves)
    return sides


@cases("gpu")
def fused() -> Iterator[Case]:
    matrix = 2.0 * ROWS * WIDTH
    yield Case(f"softmax forward {ROWS}x{WIDTH}, bfloat16", softmax, bytes=2 * matrix)
    yield Case(f"rms_norm forward {ROWS}x{WIDTH}, bfloat16", rms_norm, bytes=2 * matrix)
    yield Case(f"swiglu forward {ROWS}x{WIDTH}, bfloat16", swiglu, bytes=3 * matrix)
    yield Case(f"cross_entropy forward+backward {ROWS}x{VOCAB}, bfloat16", cross_entropy,
               bytes=3 * 2.0 * ROWS * VOCAB)  # fmt: skip
    yield Case(f"linear_cross_entropy forward+backward {ROWS}x{WIDTH} -> {VOCAB}, bfloat16",
               linear_cross_entropy, flops=3 * 2.0 * ROWS * WIDTH * VOCAB)  # fmt: skip
