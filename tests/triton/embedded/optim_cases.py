"""Optimizer steps that embedded kernels serve."""

import itertools

import ml_dtypes
import numpy as np

from pyllm import ops


def kinds():
    """(parameter type, gradient type, whether there are master weights)."""
    for storage in (np.float32, np.float16, ml_dtypes.bfloat16):
        wide = (False,) if storage is np.float32 else (False, True)
        for master, wide_grad in itertools.product(wide, wide):
            yield storage, np.float32 if wide_grad else storage, master


def steps(rng, dtype, grad_dtype, master, n):
    """Calls of each optimizer on fresh buffers: (op, buffers, options)."""
    draw = lambda: rng.normal(size=n).astype(np.float32)  # noqa: E731
    common = {"lr": 0.01, "weight_decay": 0.1, "grad_scale": 0.5}
    param, grad = draw().astype(dtype), draw().astype(grad_dtype)
    extra = {"master": param.astype(np.float32)} if master else {}
    for largest in (False, True):
        more = extra | ({"max_exp_avg_sq": abs(draw())} if largest else {})
        state = {"exp_avg": draw(), "exp_avg_sq": abs(draw()), **more}
        buffers = {"param": param, "grad": grad, **state}
        yield ops.adamw_step, buffers, common | {"step": 3}
        yield ops.adam_step, buffers, common | {"step": 3}
    buffers = {"param": param, "grad": grad, **extra}
    yield ops.sgd_step, buffers, common
    for first, nesterov in itertools.product((False, True), repeat=2):
        options = common | {"momentum": 0.9, "first": first, "nesterov": nesterov}
        yield ops.sgd_step, buffers | {"momentum_buffer": draw()}, options
    yield ops.lion_step, buffers | {"exp_avg": draw()}, common
