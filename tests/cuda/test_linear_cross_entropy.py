"""The CUDA linear_cross_entropy through the emulator, with products on the host."""

from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from tests.cuda.emulator.build import KERNELS
from tests.cuda.emulator.client import ORDERS, CudaError, Out
from tests.reference import cross_entropy as reference
from tests.tolerance import roundoff

SOURCES = [
    KERNELS / "linear_cross_entropy.cu",
    Path(__file__).parent / "products" / "host_product.cu",
]
FLOAT32 = np.dtype(np.float32)
DTYPES = [FLOAT32, np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16)]


def problem(rng, rows, width, n, dtype=FLOAT32):
    made = {
        "hidden": rng.normal(size=(rows, width)).astype(dtype),
        "weight": rng.normal(size=(n, width)).astype(dtype),
        "bias": rng.normal(size=n).astype(dtype),
        "targets": rng.integers(0, n, rows),
        "class_weight": rng.uniform(0.5, 2, n).astype(dtype),
    }
    made["targets"][rng.random(rows) < 0.2] = -100
    return made


def run(
    emulator, given, *, chunk_rows=4, gradients=True, smoothing=0.0, z_loss=0.0, mean=True,
    accumulate=None, grad_scale=1.0, gradient_dtype=None, totals_of=None, **how,
):  # fmt: skip
    """`accumulate`: what dweight and dbias hold before, by name."""
    (rows, width), n = given["hidden"].shape, given["weight"].shape[0]
    dtype = given["hidden"].dtype
    gradient_dtype = np.dtype(gradient_dtype or dtype)
    stride = -(-n // 8) * 8
    weights = given["class_weight"]
    ones = np.ones(n) if weights is None else weights.astype(np.float64)
    counted = given["targets"][given["targets"] != -100] if totals_of is None else totals_of
    totals = np.array([ones[counted].sum(), ones.sum()], FLOAT32)
    start = accumulate or {"dweight": None, "dbias": None}
    out = {
        "dhidden": Out((rows, width), dtype),
        "dweight": Out((n, width), gradient_dtype, start["dweight"]),
        "dbias": Out((n,), gradient_dtype, start["dbias"]) if given["bias"] is not None else None,
    }
    return emulator.call(
        "host_linear_cross_entropy", "LinearCrossEntropy",
        **given, **(out if gradients else dict.fromkeys(out)), totals=totals,
        losses=Out((rows,), FLOAT32), logits=Out((chunk_rows, stride), FLOAT32),
        scales=Out((3,), FLOAT32), sums=Out((n, width), FLOAT32), dbias_sums=Out((n,), FLOAT32),
        rows=rows, width=width, n=n, chunk_rows=chunk_rows, logits_row_stride=stride,
        hidden_row_stride=width, weight_row_stride=width, dhidden_row_stride=width,
        ignore_index=-100, label_smoothing=smoothing, z_loss=z_loss, grad_scale=grad_scale,
        mean=mean, accumulate=accumulate is not None, dtype=dtype, gradient_dtype=gradient_dtype,
        target_dtype=4, **how,
    )  # fmt: skip


def expected(given, smoothing=0.0, z_loss=0.0, mean=True):
    return reference.linear_cross_entropy(
        given["hidden"], given["weight"], given["targets"], given["bias"], given["class_weight"],
        label_smoothing=smoothing, z_loss=z_loss, reduction="mean" if mean else "sum",
    )  # fmt: skip


def check(got, given, result, scale=1.0, start=None):
    """Gradients within a few roundings of the storage type of their largest element."""
    for name, values in zip(("dhidden", "dweight", "dbias"), result[1:], strict=True):
        if given["bias"] is None and name == "dbias":
            continue
        values = values * scale
        if start is not None and name in start:
            values = values + start[name]
        unit = 6 * roundoff(given["hidden"].dtype) + 60 * roundoff(FLOAT32)
        bound = unit * (np.abs(values).max() + 2 * np.abs(scale) / len(given["targets"]))
        np.testing.assert_allclose(got[name].astype(np.float64), values, atol=bound, rtol=0)


# One chunk, several, a last one that is smaller; odd widths; more than a tile of 2,048 classes.
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("mean", [True, False], ids=["mean", "sum"])
@pytest.mark.parametrize(
    ("rows", "width", "n", "chunk"), [(4, 8, 16, 4), (7, 5, 33, 3), (3, 2, 4103, 2)]
)
def test_losses_and_gradients(emulator_for, rng, rows, width, n, chunk, mean, dtype):
    given = problem(rng, rows, width, n, dtype)
    options = {"smoothing": 0.1, "z_loss": 1e-2, "mean": mean}
    got = run(emulator_for("plain", SOURCES), given, chunk_rows=chunk, **options)
    result = expected(given, **options)
    counted = given["targets"][given["targets"] != -100]
    share = given["class_weight"].astype(np.float64)[counted].sum() if mean else 1.0
    share = share or 1.0
    result = (np.nan_to_num(result[0]), *result[1:])  # the mean of no losses
    np.testing.assert_allclose(got["losses"].sum() / share, result[0], rtol=1e-5, atol=1e-5)
    check(got, given, result)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_losses_alone(emulator_for, rng, dtype):
    given = problem(rng, 5, 6, 40, dtype) | {"bias": None, "class_weight": None}
    got = run(emulator_for("plain", SOURCES), given, chunk_rows=2, gradients=False)
    logits = given["hidden"].astype(np.float64) @ given["weight"].astype(np.float64).T
    losses, _, _ = reference.rows(logits, given["targets"])
    np.testing.assert_allclose(got["losses"], losses, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("gradient_dtype", [np.float32, ml_dtypes.bfloat16], ids=["f32", "bf16"])
@pytest.mark.parametrize("chunk", [2, 8])
def test_accumulates_scaled(emulator_for, rng, chunk, gradient_dtype):
    given = problem(rng, 6, 4, 24, np.dtype(ml_dtypes.bfloat16))
    start = {
        "dweight": rng.normal(size=(24, 4)).astype(gradient_dtype),
        "dbias": rng.normal(size=24).astype(gradient_dtype),
    }
    got = run(
        emulator_for("plain", SOURCES), given, chunk_rows=chunk, grad_scale=-0.5,
        accumulate=start, gradient_dtype=gradient_dtype,
    )  # fmt: skip
    check(
        got,
        given,
        expected(given),
        scale=-0.5,
        start={k: v.astype(float) for k, v in start.items()},
    )


def test_small_probabilities_of_a_mean_do_not_underflow_in_float16(emulator_for, rng):
    """1 / 1000 rows times probabilities of 1 / 100 is below float16's normal numbers."""
    given = problem(rng, 12, 4, 96, np.dtype(np.float16)) | {"class_weight": None}
    given["hidden"] = (given["hidden"] * 0.01).astype(np.float16)
    got = run(emulator_for("plain", SOURCES), given, grad_scale=1e-3)
    _, dhidden, _, _ = expected(given)
    scale = np.abs(dhidden * 1e-3).max()
    error = np.abs(got["dhidden"].astype(np.float64) - dhidden * 1e-3).max()
    assert error < 3e-3 * scale + 6e-8


def test_ignored_rows_and_bad_targets(emulator_for, rng):
    """What an ignored row holds does not matter; a target that is no class gives NaN."""
    emulator = emulator_for("asan", SOURCES)
    given = problem(rng, 3, 4, 20) | {"class_weight": None}
    given["targets"] = np.array([-100, 5, 3])
    ignoring = run(emulator, given, mean=False)
    result = expected(given, mean=False)
    check(ignoring, given, result)
    np.testing.assert_array_equal(ignoring["dhidden"][0], 0)
    assert ignoring["losses"][0] == 0
    given["targets"] = np.array([5, 20, -7])
    got = run(emulator, given | {"targets": np.array([5, 20, -7])}, mean=False, totals_of=[5])
    np.testing.assert_array_equal(np.isnan(got["losses"]), [False, True, True])
    np.testing.assert_array_equal(np.isnan(got["dhidden"]).all(1), [False, True, True])


def test_rows_without_work_write_zeros(emulator_for, rng):
    given = problem(rng, 0, 4, 20)
    got = run(emulator_for("plain", SOURCES), given)
    np.testing.assert_array_equal(got["dweight"], 0)
    np.testing.assert_array_equal(got["dbias"], 0)


@pytest.mark.parametrize("variant", ["asan", "tsan"])
@pytest.mark.parametrize("order", ORDERS)
def test_sanitized_in_every_order(emulator_for, rng, variant, order):
    """Three tiles a row, so that a narrow gradient is written where others still read."""
    given = problem(rng, 2, 1, 4103, np.dtype(ml_dtypes.bfloat16))
    given["targets"][:] = [7, 4102]
    options = {"chunk_rows": 1, "smoothing": 0.1}
    want = run(emulator_for(variant, SOURCES), given, **options)
    got = run(emulator_for(variant, SOURCES), given, order=order, order_seed=3, **options)
    for name in ("losses", "dhidden", "dweight", "dbias"):
        np.testing.assert_array_equal(got[name], want[name])


def test_traffic_of_the_loss(emulator_for, rng):
    """Logits are read twice and their gradient written once; the columns read it once more."""
    given = problem(rng, 2, 2, 4096, np.dtype(ml_dtypes.bfloat16)) | {"class_weight": None}
    given["targets"] = np.array([1, 2])
    kernels = run(emulator_for("plain", SOURCES), given, counted=True).kernels
    chunk = next(v for k, v in kernels.items() if "chunk" in k)
    columns = next(v for k, v in kernels.items() if "columns" in k)
    logits, gradient, bias = 2 * 4096 * 4, 2 * 4096 * 2, 4096 * 2
    asked = 2 * (512 * 8 + 4 + 2)  # each thread its target; the target's logit and bias
    assert chunk["global_read_bytes"] == 2 * logits + 2 * 2 * bias + asked
    assert chunk["global_write_bytes"] == gradient + 2 * 4
    assert columns["global_read_bytes"] == gradient
    assert columns["global_write_bytes"] == 4096 * 4


@pytest.mark.parametrize(
    "bad", [{"logits_row_stride": 20}, {"logits_row_stride": 16}, {"chunk_rows": 0}, {"dtype": 9}]
)
def test_bad_arguments_are_refused(emulator_for, rng, bad):
    given = problem(rng, 2, 2, 24)
    args = {
        **given, "dhidden": None, "dweight": None, "dbias": None, "totals": np.ones(2, FLOAT32),
        "losses": Out((2,), FLOAT32), "logits": Out((4, 24), FLOAT32), "scales": Out((3,), FLOAT32),
        "sums": None, "dbias_sums": None, "rows": 2, "width": 2, "n": 24, "chunk_rows": 4,
        "logits_row_stride": 24, "hidden_row_stride": 2, "weight_row_stride": 2,
        "dhidden_row_stride": 2, "ignore_index": -100, "label_smoothing": 0, "z_loss": 0,
        "grad_scale": 1, "mean": 1, "accumulate": 0, "dtype": FLOAT32, "gradient_dtype": FLOAT32,
        "target_dtype": 4,
    }  # fmt: skip
    with pytest.raises(CudaError, match="error 1"):
        emulator_for("plain", SOURCES).call(
            "host_linear_cross_entropy", "LinearCrossEntropy", **{**args, **bad}
        )
