"""Optimizers on the 124M parameters of GPT-2 small against torch's.

A step of AdamW moves 28 bytes a parameter: reads gradient, parameter and two moments, writes three
of them; 16 where the moments take a byte each. Clipping reads the gradient once more. Adafactor
moves 24: it reads the gradient three times, since each of its passes needs the whole result of the
one before, and the parameter twice.

States, bytes a parameter: AdamW 8, with 8 bits 2.03 (the scales), Adafactor 0.01.
"""

from collections.abc import Iterator

import numpy as np
import torch

from pyllm import ops, optim
from pyllm.bench import Case, cases
from pyllm.nn import Parameter

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


def step_with_8_bits():
    param, grad, _, _ = buffers()
    _, fused = theirs(param, grad, fused=True)
    m, v = (
        ops.Blockwise(np.zeros(PARAMETERS, np.uint8), np.zeros(-(-PARAMETERS // 256), np.float32))
        for _ in range(2)
    )
    return {
        "pyllm": lambda: ops.adamw_step(param, grad, m, v, lr=1e-4, step=10, weight_decay=0.1),
        "torch fused, 32 bits": fused.step,
    }


def adafactor():
    """The matrices of GPT-2 small's twelve blocks, 85M parameters."""
    rng = np.random.default_rng(0)
    shapes = [(768, 2304), (768, 768), (768, 3072), (3072, 768)] * 12
    arrays = [rng.random(shape, np.float32) - np.float32(0.5) for shape in shapes]
    ours = [Parameter(array.copy()) for array in arrays]
    optimizer = optim.Adafactor(ours, 1e-3)
    theirs = [torch.nn.Parameter(torch.from_numpy(array)) for array in arrays]
    peer = torch.optim.Adafactor(theirs, 1e-3)
    for mine, other in zip(ours, theirs, strict=True):
        gradient = rng.random(mine.shape, np.float32) - np.float32(0.5)
        mine.accumulate_grad(gradient)
        other.grad = torch.from_numpy(gradient)
    return {"pyllm": optimizer.step, "torch": peer.step}


@cases("optim")
def optimizers() -> Iterator[Case]:
    n = PARAMETERS
    yield Case("AdamW step 124M", step, bytes=28 * n, traffic="update", repeats=7)
    yield Case(
        "AdamW step and clipping 124M",
        step_with_clipping,
        bytes=32 * n,
        traffic="update",
        repeats=7,
    )
    yield Case(
        "AdamW step 124M, 8-bit states", step_with_8_bits, bytes=16 * n, traffic="update", repeats=7
    )
    yield Case("Adafactor step 85M", adafactor, bytes=24 * 84_934_656, traffic="update", repeats=7)
