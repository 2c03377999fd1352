"""The CUDA Lion through the emulator, against the formula in float64."""

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

SOURCES = [KERNELS / "lion.cu"]
HYPER = {"lr": 0.05, "beta1": 0.9, "beta2": 0.99, "weight_decay": 0.1}


def moment(rng):
    start = lambda n: rng.standard_normal(n).astype(np.float32)  # noqa: E731
    return {"exp_avg": start, "exp_avg_scale": None}


def run(emulator, tensors, **options):
    fields = {**HYPER, "quantized": 0, **options}
    return step(emulator, "pyllm_cuda_lion_step", "Lion", tensors, **fields)


@pytest.mark.parametrize(("scale", "factor"), [(None, 1.0), (0.25, -1.0)])
@pytest.mark.parametrize(("param_dtype", "grad_dtype", "master"), STORAGE)
def test_step(emulator_for, rng, param_dtype, grad_dtype, master, scale, factor):
    tensors = tensors_of(rng, SIZES, param_dtype, grad_dtype, master, **moment(rng))
    for t in tensors:
        # Beyond float32's doubt about the sign of the mix.
        mixed = 0.9 * t["exp_avg"] + 0.1 * factor * (scale or 1) * t["grad"].astype(np.float32)
        t["exp_avg"][np.abs(mixed) < 1e-4] = 3
    got = run(emulator_for("plain", SOURCES), tensors, grad_scale=scale, grad_factor=factor)
    for i, t in enumerate(tensors):
        g = factor * (scale or 1) * t["grad"].astype(np.float64)
        p, m = start_of(t), t["exp_avg"].astype(np.float64)
        magnitude = np.abs(m) + np.abs(g)
        assert_close(
            got[f"tensors[{i}].exp_avg"], 0.99 * m + (1 - 0.99) * g, ops=6, scale=magnitude
        )
        expected = p * (1 - 0.05 * 0.1) - 0.05 * np.sign(0.9 * m + (1 - 0.9) * g)
        assert_close(got[f"tensors[{i}].param"], expected, ops=6, scale=np.abs(p) + 0.05)
        check_rounded(got, i, t)


def test_signs(emulator_for):
    t = {
        "param": np.zeros(5, np.float32),
        "grad": np.array([0, -0.0, 3, -1e-30, np.nan], np.float32),
        "exp_avg": np.zeros(5, np.float32), "master": None, "n": 5, "exp_avg_scale": None,
    }  # fmt: skip
    got = run(emulator_for("plain", SOURCES), [t], lr=0.5)["tensors[0].param"]
    np.testing.assert_array_equal(got, [0, 0, -0.5, 0.5, np.nan])


def test_a_quantized_moment_is_the_cpus(emulator_for, rng):
    (t,) = tensors_of(rng, [2050], BFLOAT16, FLOAT32, True, **moment(rng))
    state = ops.quantize_blockwise(t["exp_avg"])
    t["exp_avg"], t["exp_avg_scale"] = state.codes, state.scale
    got = run(emulator_for("plain", SOURCES), [t], quantized=1)
    expected = ops.Blockwise(state.codes.copy(), state.scale.copy())
    param, master = t["param"].copy(), t["master"].copy()
    ops.lion_step(param, t["grad"], expected, master=master, **HYPER)
    np.testing.assert_allclose(got["tensors[0].master"], master, rtol=1e-5, atol=1e-6)
    scale = got["tensors[0].exp_avg_scale"]
    np.testing.assert_allclose(scale, expected.scale, rtol=1e-6)
    check_codes(got["tensors[0].exp_avg"], expected.codes, scale, True)


@pytest.mark.parametrize("variant", ["asan", "tsan"])
@pytest.mark.parametrize("order", ORDERS)
def test_sanitized_in_every_order(emulator_for, rng, variant, order):
    tensors = tensors_of(rng, [1, 5, 1003], BFLOAT16, BFLOAT16, True, **moment(rng))
    expected = run(emulator_for(variant, SOURCES), tensors)
    got = run(emulator_for(variant, SOURCES), tensors, order=order, order_seed=5)
    for name, value in expected.outputs.items():
        np.testing.assert_array_equal(got[name], value)


def test_float32_moves_20_bytes_a_parameter(emulator_for, rng):
    tensors = tensors_of(rng, [4096, 8192], FLOAT32, FLOAT32, False, **moment(rng))
    (counts,) = run(emulator_for("plain", SOURCES), tensors, counted=True).kernels.values()
    assert counts["launches"] == 1
    assert counts["global_read_bytes"] + counts["global_write_bytes"] == 20 * 12288
    assert counts["sectors"] == counts["ideal_sectors"] == 20 * 12288 // 32


def test_bad_arguments_are_refused(emulator_for, rng):
    tensors = tensors_of(rng, [4], FLOAT32, np.float16, False, **moment(rng))
    with pytest.raises(CudaError, match="error 1"):
        run(emulator_for("plain", SOURCES), tensors)
