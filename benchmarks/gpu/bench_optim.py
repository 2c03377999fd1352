"""adamw_step against torch's fused AdamW on one flat buffer of 124 million parameters."""

from collections.abc import Iterator

import torch

from pyllm import ops
from pyllm.bench import Case, cases

N = 124_000_000


def adamw():
    p, g = (torch.randn(N, device="cuda") for _ in range(2))
    m, v = torch.zeros_like(p), torch.zeros_like(p)
    theirs = torch.nn.Parameter(p.clone())
    theirs.grad = g.clone()
    optimizer = torch.optim.AdamW([theirs], lr=1e-3, fused=True)
    return {
        "pyllm": lambda: ops.adamw_step(p, g, m, v, lr=1e-3, step=10, weight_decay=0.1),
        "torch fused": optimizer.step,
    }


@cases("gpu")
def optim() -> Iterator[Case]:
    yield Case(f"AdamW step {N:,} float32", adamw, bytes=28.0 * N)
