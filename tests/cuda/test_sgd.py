"""The CUDA gradient descent through the emulator, against the formula in float64."""

import numpy as np
import pytest

from pyllm import ops
from tests.cuda.emulator.build import KERNELS
from tests.cuda.emulator.client import ORDERS, CudaError
from tests.cuda.optimizers import (
    BFLOAT16,
    FLOAT32,
    SIZES,
    STORAGE,
    check_codes,
    check_rounded,
    start_of,
    step,
    tensors_of,
)
from tests.tolerance import assert_close

SOURCES = [KERNELS / "sgd.cu"]
LR, DECAY = 0.05, 0.1
KINDS = {
    "plain": {"momentum": 0.0, "dampening": 0.0, "nesterov": 0},
    "momentum": {"momentum": 0.9, "dampening": 0.0, "nesterov": 0},
    "damped": {"momentum": 0.9, "dampening": 0.3, "nesterov": 0},
    "nesterov": {"momentum": 0.9, "dampening": 0.0, "nesterov": 1},
}


def buffers(rng, kind):
    start = None if kind == "plain" else lambda n: rng.standard_normal(n).astype(np.float32)
    return {"momentum_buffer": start, "momentum_buffer_scale": None}


def run(emulator, tensors, kind, **options):
    fields = {"lr": LR, "weight_decay": DECAY, "first": 0, "quantized": 0, **KINDS[kind], **options}
    return step(emulator, "pyllm_cuda_sgd_step", "Sgd", tensors, **fields)


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("param_dtype", "grad_dtype", "master"), STORAGE)
def test_step(emulator_for, rng, param_dtype, grad_dtype, master, kind, first):
    tensors = tensors_of(rng, SIZES, param_dtype, grad_dtype, master, **buffers(rng, kind))
    if first and kind != "plain":
        for t in tensors:
            t["momentum_buffer"][:] = np.nan  # the first step must not care
    got = run(
        emulator_for("plain", SOURCES), tensors, kind, first=first, grad_scale=0.5, grad_factor=-1
    )
    options = KINDS[kind]
    for i, t in enumerate(tensors):
        p = start_of(t)
        g = -0.5 * t["grad"].astype(np.float64) + DECAY * p
        scale = np.abs(t["grad"].astype(np.float64)) + np.abs(p)
        b = g
        if kind != "plain":
            buffer = t["momentum_buffer"].astype(np.float64)
            if not first:
                b = options["momentum"] * buffer + (1 - options["dampening"]) * g
                scale = scale + np.abs(buffer)
            assert_close(got[f"tensors[{i}].momentum_buffer"], b, ops=6, scale=scale)
        expected = p - LR * (g + options["momentum"] * b if options["nesterov"] else b)
        assert_close(got[f"tensors[{i}].param"], expected, ops=12, scale=scale)
        check_rounded(got, i, t)


def test_a_quantized_buffer_is_the_cpus(emulator_for, rng):
    (t,) = tensors_of(rng, [2050], BFLOAT16, BFLOAT16, True, **buffers(rng, "nesterov"))
    state = ops.quantize_blockwise(t["momentum_buffer"])
    t["momentum_buffer"], t["momentum_buffer_scale"] = state.codes, state.scale
    got = run(emulator_for("plain", SOURCES), [t], "nesterov", quantized=1)
    expected = ops.Blockwise(state.codes.copy(), state.scale.copy())
    param, master = t["param"].copy(), t["master"].copy()
    ops.sgd_step(
        param, t["grad"], expected, lr=LR, weight_decay=DECAY, momentum=0.9, nesterov=True,
        master=master,
    )  # fmt: skip
    np.testing.assert_allclose(got["tensors[0].master"], master, rtol=1e-5, atol=1e-6)
    scale = got["tensors[0].momentum_buffer_scale"]
    np.testing.assert_allclose(scale, expected.scale, rtol=1e-6)
    check_codes(got["tensors[0].momentum_buffer"], expected.codes, scale, True)


@pytest.mark.parametrize("variant", ["asan", "tsan"])
@pytest.mark.parametrize("order", ORDERS)
def test_sanitized_in_every_order(emulator_for, rng, variant, order):
    tensors = tensors_of(rng, [1, 5, 1003], BFLOAT16, BFLOAT16, True, **buffers(rng, "damped"))
    expected = run(emulator_for(variant, SOURCES), tensors, "damped")
    got = run(emulator_for(variant, SOURCES), tensors, "damped", order=order, order_seed=5)
    for name, value in expected.outputs.items():
        np.testing.assert_array_equal(got[name], value)


@pytest.mark.parametrize(("kind", "size"), [("plain", 12), ("momentum", 20)])
def test_bytes_a_parameter(emulator_for, rng, kind, size):
    tensors = tensors_of(rng, [4096, 8192], FLOAT32, FLOAT32, False, **buffers(rng, kind))
    (counts,) = run(emulator_for("plain", SOURCES), tensors, kind, counted=True).kernels.values()
    assert counts["launches"] == 1
    assert counts["global_read_bytes"] + counts["global_write_bytes"] == size * 12288
    assert counts["sectors"] == counts["ideal_sectors"] == size * 12288 // 32


def test_bad_arguments_are_refused(emulator_for, rng):
    emulator = emulator_for("plain", SOURCES)
    tensors = tensors_of(rng, [4, 4], FLOAT32, FLOAT32, False, **buffers(rng, "plain"))
    for kind in ("momentum", "nesterov"):  # needs a buffer
        with pytest.raises(CudaError, match="error 1"):
            run(emulator, tensors, kind)
    tensors[1]["momentum_buffer"] = np.ones(4, np.float32)
    with pytest.raises(CudaError, match="error 1"):
        run(emulator, tensors, "plain")
