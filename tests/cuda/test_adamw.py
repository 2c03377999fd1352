"""The CUDA AdamW, Adam and AMSGrad through the emulator, against the formula in float64."""

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

SOURCES = [KERNELS / "adamw.cu"]
HYPER = {"lr": 1e-2, "beta1": 0.9, "beta2": 0.99, "eps": 1e-8, "weight_decay": 0.1, "step": 3}
SCALES = ("exp_avg_scale", "exp_avg_sq_scale", "max_exp_avg_sq_scale")


def moments(rng, largest=False):
    return {
        "exp_avg": lambda n: rng.standard_normal(n).astype(np.float32),
        "exp_avg_sq": lambda n: rng.random(n).astype(np.float32),
        "max_exp_avg_sq": (lambda n: rng.random(n).astype(np.float32)) if largest else None,
    } | dict.fromkeys(SCALES)


def run(emulator, tensors, *, decoupled=1, quantized=0, **options):
    fields = {**HYPER, "decoupled": decoupled, "quantized": quantized, **options}
    return step(emulator, "pyllm_cuda_adamw_step", "AdamW", tensors, **fields)


def expected_step(t, factor, decoupled, hyper=HYPER):
    """(parameter, exp_avg, exp_avg_sq, max_exp_avg_sq) in float64."""
    lr, beta1, beta2 = hyper["lr"], hyper["beta1"], hyper["beta2"]
    p, g = start_of(t), t["grad"].astype(np.float64) * factor
    if decoupled:
        p = p * (1 - lr * hyper["weight_decay"])
    else:
        g = g + hyper["weight_decay"] * p
    m = beta1 * t["exp_avg"] + (1 - beta1) * g
    v = beta2 * t["exp_avg_sq"].astype(np.float64) + (1 - beta2) * g * g
    w = v if t["max_exp_avg_sq"] is None else np.maximum(v, t["max_exp_avg_sq"])
    corrected_m = m / (1 - beta1 ** hyper["step"])
    corrected_v = w / (1 - beta2 ** hyper["step"])
    return p - lr * corrected_m / (np.sqrt(corrected_v) + hyper["eps"]), m, v, w


@pytest.mark.parametrize("decoupled", [1, 0], ids=["adamw", "adam"])
@pytest.mark.parametrize("largest", [False, True], ids=["plain", "amsgrad"])
@pytest.mark.parametrize(("scale", "factor"), [(None, 1.0), (0.25, -1.0)])
@pytest.mark.parametrize(("param_dtype", "grad_dtype", "master"), STORAGE)
def test_step(
    emulator_for, rng, param_dtype, grad_dtype, master, scale, factor, largest, decoupled
):
    tensors = tensors_of(rng, SIZES, param_dtype, grad_dtype, master, **moments(rng, largest))
    got = run(
        emulator_for("plain", SOURCES), tensors, grad_scale=scale, grad_factor=factor,
        decoupled=decoupled,
    )  # fmt: skip
    for i, t in enumerate(tensors):
        p, m, v, w = expected_step(t, factor * (scale or 1.0), decoupled)
        # Terms of either sign are added: errors scale with the terms, not with the result.
        m_scale = np.abs(t["exp_avg"]) + np.abs(t["grad"].astype(np.float64)) + np.abs(p)
        assert_close(got[f"tensors[{i}].exp_avg"], m, ops=6, scale=m_scale)
        assert_close(got[f"tensors[{i}].exp_avg_sq"], v, ops=16, scale=v + m_scale**2 * 1e-2)
        if largest:
            scale_w = w + m_scale**2 * 1e-2
            assert_close(got[f"tensors[{i}].max_exp_avg_sq"], w, ops=16, scale=scale_w)
        p_scale = np.abs(p) + HYPER["lr"] * m_scale * 10 / np.sqrt(w / 0.03 + 1e-16)
        assert_close(got[f"tensors[{i}].param"], p, ops=32, scale=p_scale)
        if master:
            assert_close(got[f"tensors[{i}].master"], p, ops=32, scale=p_scale)
        check_rounded(got, i, t)


@pytest.mark.parametrize("largest", [False, True], ids=["plain", "amsgrad"])
def test_quantized_moments_are_the_cpus(emulator_for, rng, largest):
    """A byte an element: the same codes and scales, and the same parameters."""
    tensors = tensors_of(rng, [1, 255, 4099], FLOAT32, FLOAT32, False, **moments(rng, largest))
    names = ["exp_avg", "exp_avg_sq"] + (["max_exp_avg_sq"] if largest else [])
    for t in tensors:
        for name in names:
            state = ops.quantize_blockwise(t[name], signed=name == "exp_avg")
            t[name], t[f"{name}_scale"] = state.codes, state.scale
    got = run(emulator_for("plain", SOURCES), tensors, quantized=1)
    for i, t in enumerate(tensors):
        states = [ops.Blockwise(t[name].copy(), t[f"{name}_scale"].copy()) for name in names]
        param = t["param"].copy()
        ops.adamw_step(
            param, t["grad"], *states[:2], **HYPER,
            max_exp_avg_sq=states[2] if largest else None,
        )  # fmt: skip
        np.testing.assert_allclose(got[f"tensors[{i}].param"], param, rtol=1e-5, atol=1e-6)
        for name, state in zip(names, states, strict=True):
            scale = got[f"tensors[{i}].{name}_scale"]
            np.testing.assert_allclose(scale, state.scale, rtol=1e-6)
            check_codes(got[f"tensors[{i}].{name}"], state.codes, scale, name == "exp_avg")


@pytest.mark.parametrize("quantized", [0, 1])
@pytest.mark.parametrize("variant", ["asan", "tsan"])
@pytest.mark.parametrize("order", ORDERS)
def test_sanitized_in_every_order(emulator_for, rng, variant, order, quantized):
    tensors = tensors_of(rng, [1, 0, 5, 1003], BFLOAT16, BFLOAT16, True, **moments(rng))
    if quantized:
        for t in tensors:
            for name in ("exp_avg", "exp_avg_sq"):
                t[name] = np.zeros(t["n"], np.uint8)
                t[f"{name}_scale"] = np.zeros(-(-t["n"] // 256), np.float32)
    expected = run(emulator_for(variant, SOURCES), tensors, quantized=quantized)
    got = run(
        emulator_for(variant, SOURCES), tensors, quantized=quantized, order=order, order_seed=5
    )
    for name, value in expected.outputs.items():
        np.testing.assert_array_equal(got[name], value)


def test_more_tensors_than_one_table_holds(emulator_for, rng):
    tensors = tensors_of(rng, [n % 7 for n in range(75)], FLOAT32, FLOAT32, False, **moments(rng))
    got = run(emulator_for("plain", SOURCES), tensors)
    for i, t in enumerate(tensors):
        np.testing.assert_allclose(
            got[f"tensors[{i}].param"], expected_step(t, 1, 1)[0], rtol=1e-4, atol=1e-6
        )


def test_float32_moves_28_bytes_a_parameter(emulator_for, rng):
    tensors = tensors_of(rng, [4096, 8192], FLOAT32, FLOAT32, False, **moments(rng))
    (counts,) = run(emulator_for("plain", SOURCES), tensors, counted=True).kernels.values()
    assert counts["launches"] == 1
    assert counts["blocks"] == 3
    assert counts["global_read_bytes"] + counts["global_write_bytes"] == 28 * 12288
    assert counts["sectors"] == counts["ideal_sectors"] == 28 * 12288 // 32


def test_quantized_moments_move_16_bytes_a_parameter(emulator_for, rng):
    """And a scale for 256 elements."""
    (t,) = tensors_of(rng, [8192], FLOAT32, FLOAT32, False, **moments(rng))
    for name in ("exp_avg", "exp_avg_sq"):
        t[name], t[f"{name}_scale"] = np.zeros(8192, np.uint8), np.zeros(32, np.float32)
    result = run(emulator_for("plain", SOURCES), [t], quantized=1, counted=True)
    (counts,) = result.kernels.values()
    assert counts["global_write_bytes"] == 6 * 8192 + 2 * 32 * 4
    assert counts["global_read_bytes"] == 10 * 8192 + 2 * 32 * 4


def test_nan_gradient_stays_where_it_is(emulator_for, rng):
    tensors = tensors_of(rng, [16], FLOAT32, FLOAT32, False, **moments(rng, True))
    tensors[0]["grad"][3] = np.nan
    got = run(emulator_for("plain", SOURCES), tensors)["tensors[0].param"]
    np.testing.assert_array_equal(np.isnan(got), np.arange(16) == 3)


def test_bad_arguments_are_refused(emulator_for, rng):
    emulator = emulator_for("plain", SOURCES)
    tensors = tensors_of(rng, [4, 4], FLOAT32, FLOAT32, False, **moments(rng))
    half = tensors_of(rng, [4], FLOAT32, np.float16, False, **moments(rng))
    with pytest.raises(CudaError, match="error 1"):
        run(emulator, tensors, step=0)
    with pytest.raises(CudaError, match="error 1"):
        run(emulator, half)
    tensors[1]["max_exp_avg_sq"] = np.ones(4, np.float32)
    with pytest.raises(CudaError, match="error 1"):
        run(emulator, tensors)
