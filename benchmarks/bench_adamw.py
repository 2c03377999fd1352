"""AdamW on the 124M parameters of GPT-2 small against torch's fused and default steps.

A step moves 28 bytes a parameter: reads gradient, parameter and two moments, writes three of them.
Clipping reads the gradient once more.
"""

from collections.abc import Iterator

import numpy as np
import torch

from pyllm import ops
from pyllm.bench import Case, cases

PARAMETERS = 124_439_808


def buffers():
    rng = np.random.default_rng(0)
    param, grad = (rng.random(PARAMETERS, np.float32) - np.float32(0.5) for _ in range(2))
    return param, grad, np.zeros_like(param), np.zeros_like(param)


def theirs(param, grad, **options):
    parameter = torch.nn.Parameter(torch.from_numpy(param.copy()))
    parameter.grad = torch.from_numpy(grad)
    return parameter, torch.optim.AdamW([parameter], lr=1e-4, weight_decay=0.1, **options)


def step():
    param, grad, m, v = buffers()
    _, fused = theirs(param, grad, fused=True)
    return {
        "pyllm": lambda: ops.adamw_step(param, grad, m, v, lr=1e-4, step=10, weight_decay=0.1),
        "torch fused": fused.step,
    }


def step_with_clipping():
    param, grad, m, v = buffers()
    parameter, fused = theirs(param, grad, fused=True)

    def ours():
        norm = float(ops.sum_of_squares(grad)) ** 0.5
        scale = min(1.0, 1.0 / (norm + 1e-6))
        ops.adamw_step(param, grad, m, v, lr=1e-4, step=10, weight_decay=0.1, grad_scale=scale)

    def torch_step():
        torch.nn.utils.clip_grad_norm_([parameter], 1.0)
        fused.step()

    return {"pyllm": ours, "torch fused": torch_step}


@cases("optim")
def adamw() -> Iterator[Case]:
    yield Case("AdamW step 124M", step, bytes=28 * PARAMETERS, repeats=7)
    yield Case("AdamW step and clipping 124M", step_with_clipping, bytes=32 * PARAMETERS, repeats=7)
