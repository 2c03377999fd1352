"""The CUDA AdamW through the emulator, against the formula in float64."""

import ml_dtypes
import numpy as np
import pytest

from tests.cuda.emulator.build import KERNELS
from tests.cuda.emulator.client import ORDERS, CudaError, inout
from tests.tolerance import assert_close

SOURCES = [KERNELS / "adamw.cu"]
FLOAT32 = np.dtype(np.float32)
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
FLOAT16 = np.dtype(np.float16)
# Empty, below a vector, ragged, one chunk of 4096, and past it.
SIZES = [1, 0, 3, 5, 1000, 4096, 4099]
HYPER = {"lr": 1e-2, "beta1": 0.9, "beta2": 0.99, "eps": 1e-8, "weight_decay": 0.1, "step": 3}


def tensors_of(rng, sizes, param_dtype, grad_dtype, master):
    made = []
    for n in sizes:
        weights = rng.standard_normal(n).astype(np.float32)
        made.append(
            {
                "param": weights.astype(param_dtype),
                "grad": rng.standard_normal(n).astype(grad_dtype),
                "exp_avg": rng.standard_normal(n).astype(np.float32),
                "exp_avg_sq": rng.random(n).astype(np.float32),
                "master": weights if master else None,
            }
        )
    return made


def run(emulator, tensors, *, grad_scale=None, decoupled=1, hyper=HYPER, **options):
    table = [
        {
            name: value if value is None or name == "grad" else inout(value)
            for name, value in t.items()
        }
        | {"n": t["param"].size}
        for t in tensors
    ]
    return emulator.call(
        "pyllm_cuda_adamw_step",
        "AdamWStep",
        tensors=("AdamWTensor", table),
        count=len(table),
        grad_scale=None if grad_scale is None else np.array([grad_scale], np.float32),
        param_dtype=tensors[0]["param"].dtype,
        grad_dtype=tensors[0]["grad"].dtype,
        decoupled=decoupled,
        **hyper,
        **options,
    )


def expected_step(t, grad_scale, decoupled, hyper=HYPER):
    """(parameter, exp_avg, exp_avg_sq) in float64."""
    lr, beta1, beta2 = hyper["lr"], hyper["beta1"], hyper["beta2"]
    p = (t["param"] if t["master"] is None else t["master"]).astype(np.float64)
    g = t["grad"].astype(np.float64) * (1 if grad_scale is None else np.float32(grad_scale))
    if decoupled:
        p = p * (1 - lr * hyper["weight_decay"])
    else:
        g = g + hyper["weight_decay"] * p
    m = beta1 * t["exp_avg"] + (1 - beta1) * g
    v = beta2 * t["exp_avg_sq"].astype(np.float64) + (1 - beta2) * g * g
    corrected_m = m / (1 - beta1 ** hyper["step"])
    corrected_v = v / (1 - beta2 ** hyper["step"])
    return p - lr * corrected_m / (np.sqrt(corrected_v) + hyper["eps"]), m, v


@pytest.mark.parametrize("decoupled", [1, 0], ids=["adamw", "adam"])
@pytest.mark.parametrize("grad_scale", [None, 0.25])
@pytest.mark.parametrize(
    ("param_dtype", "grad_dtype", "master"),
    [
        (FLOAT32, FLOAT32, False),
        (BFLOAT16, BFLOAT16, True),
        (BFLOAT16, FLOAT32, True),
        (FLOAT16, FLOAT16, False),
    ],
)
def test_step(emulator_for, rng, param_dtype, grad_dtype, master, grad_scale, decoupled):
    tensors = tensors_of(rng, SIZES, param_dtype, grad_dtype, master)
    got = run(emulator_for("plain", SOURCES), tensors, grad_scale=grad_scale, decoupled=decoupled)
    for i, t in enumerate(tensors):
        p, m, v = expected_step(t, grad_scale, decoupled)
        # Terms of either sign are added: errors scale with the terms, not with the result.
        m_scale = np.abs(t["exp_avg"]) + np.abs(t["grad"].astype(np.float64)) + np.abs(p)
        assert_close(got[f"tensors[{i}].exp_avg"], m, ops=6, scale=m_scale)
        assert_close(got[f"tensors[{i}].exp_avg_sq"], v, ops=16, scale=v + m_scale**2 * 1e-2)
        p_scale = np.abs(p) + HYPER["lr"] * m_scale * 10 / np.sqrt(v / 0.03 + 1e-16)
        assert_close(got[f"tensors[{i}].param"], p, ops=32, scale=p_scale)
        if master:
            written = got[f"tensors[{i}].master"]
            assert_close(written, p, ops=32, scale=p_scale)
            np.testing.assert_array_equal(got[f"tensors[{i}].param"], written.astype(param_dtype))


@pytest.mark.parametrize("variant", ["asan", "tsan"])
@pytest.mark.parametrize("order", ORDERS)
def test_sanitized_in_every_order(emulator_for, rng, variant, order):
    tensors = tensors_of(rng, SIZES, BFLOAT16, BFLOAT16, True)
    expected = run(emulator_for(variant, SOURCES), tensors)
    got = run(emulator_for(variant, SOURCES), tensors, order=order, order_seed=5)
    for name, value in expected.outputs.items():
        np.testing.assert_array_equal(got[name], value)


def test_more_tensors_than_one_table_holds(emulator_for, rng):
    tensors = tensors_of(rng, [n % 7 for n in range(75)], FLOAT32, FLOAT32, False)
    got = run(emulator_for("plain", SOURCES), tensors)
    for i, t in enumerate(tensors):
        np.testing.assert_allclose(
            got[f"tensors[{i}].param"], expected_step(t, None, 1)[0], rtol=1e-4, atol=1e-6
        )


def test_float32_moves_28_bytes_a_parameter(emulator_for, rng):
    tensors = tensors_of(rng, [4096, 8192], FLOAT32, FLOAT32, False)
    (counts,) = run(emulator_for("plain", SOURCES), tensors, counted=True).kernels.values()
    assert counts["launches"] == 1
    assert counts["blocks"] == 3
    assert counts["global_read_bytes"] + counts["global_write_bytes"] == 28 * 12288
    assert counts["sectors"] == counts["ideal_sectors"] == 28 * 12288 // 32


def test_nan_gradient_stays_where_it_is(emulator_for, rng):
    tensors = tensors_of(rng, [16], FLOAT32, FLOAT32, False)
    tensors[0]["grad"][3] = np.nan
    got = run(emulator_for("plain", SOURCES), tensors)["tensors[0].param"]
    np.testing.assert_array_equal(np.isnan(got), np.arange(16) == 3)


@pytest.mark.parametrize("bad", [{"step": 0}, {"count": -1}])
def test_bad_arguments_are_refused(emulator_for, rng, bad):
    args = {**HYPER, "count": 0, "grad_scale": None, "decoupled": 1, **bad}
    with pytest.raises(CudaError, match="error 1"):
        emulator_for("plain", SOURCES).call(
            "pyllm_cuda_adamw_step", "AdamWStep",
            tensors=None, param_dtype=FLOAT32, grad_dtype=FLOAT32, **args,
        )  # fmt: skip
