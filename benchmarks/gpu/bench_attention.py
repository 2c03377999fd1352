"""attention against torch's scaled_dot_product_attention, and against FlashAttention's own package
and our Triton kernels where they are installed."""

from collections.abc import Iterator
from importlib.util import find_spec

import torch
import torch.nn.functional as F

from pyllm import ops
from pyllm.bench import Case, cases
from pyllm.bench.device import by_triton

BATCH, HEADS = 8, 16


def inputs(length, dim):
    return [
        torch.randn(BATCH, length, HEADS, dim, device="cuda", dtype=torch.bfloat16)
        for _ in range(4)
    ]


def forward(length, dim):
    q, k, v, _ = inputs(length, dim)
    by_head = [x.transpose(1, 2) for x in (q, k, v)]
    sides = {
        "pyllm": lambda: ops.attention(q, k, v, causal=True),
        "torch SDPA": lambda: F.scaled_dot_product_attention(*by_head, is_causal=True),
    }
    sides |= by_triton(sides["pyllm"])
    if find_spec("flash_attn"):
        from flash_attn import flash_attn_func

        sides["FlashAttention"] = lambda: flash_attn_func(q, k, v, causal=True)
    return sides


def forward_backward(length, dim):
    q, k, v, grad = inputs(length, dim)
    leaves = [x.transpose(1, 2).detach().requires_grad_() for x in (q, k, v)]
    by_head = grad.transpose(1, 2)

    def ours():
        out, lse = ops.attention(q, k, v, causal=True, return_lse=True)
        return ops.attention_backward(grad, q, k, v, out, lse, causal=True)

    def theirs():
        out = F.scaled_dot_product_attention(*leaves, is_causal=True)
        return torch.autograd.grad(out, leaves, by_head)

    sides = {"pyllm": ours, "torch SDPA": theirs, **by_triton(ours)}
    if find_spec("flash_attn"):
        from flash_attn import flash_attn_func

        rows = [x.clone().requires_grad_() for x in (q, k, v)]
        sides["FlashAttention"] = lambda: torch.autograd.grad(
            flash_attn_func(*rows, causal=True), rows, grad
        )
    return sides


@cases("gpu")
def attention() -> Iterator[Case]:
    for dim in (64, 128):
        for length in (1024, 4096):
            size = f"{BATCH}x{length}x{HEADS}x{dim}, causal, bfloat16"
            pairs = BATCH * HEADS * length * (length + 1) / 2
            yield Case(f"attention forward {size}", lambda n=length, d=dim: forward(n, d),
                       flops=4 * pairs * dim)  # fmt: skip
            yield Case(f"attention forward+backward {size}",
                       lambda n=length, d=dim: forward_backward(n, d),
                       flops=14 * pairs * dim)  # fmt: skip
