"""The CUDA Adafactor through the emulator, against the CPU's op in float64."""

import numpy as np
import pytest

from pyllm import ops
from tests.cuda.emulator.build import KERNELS
from tests.cuda.emulator.client import ORDERS, CudaError, Out, inout
from tests.cuda.optimizers import BFLOAT16, FLOAT32, STORAGE, check_rounded, start_of

SOURCES = [KERNELS / "adafactor.cu"]
# Vectors around a tile of 4,096; matrices around one of 32 x 1,024; stacks of them; nothing.
SHAPES = [(1,), (5000,), (1, 1), (3, 70), (65, 17), (33, 1028), (2, 3, 40, 9), (0, 4), (0,)]
HYPER = {
    "lr": 0.02, "beta1": 0.0, "beta2": 0.7, "weight_decay": 0.1, "eps": 1e-30, "least_rms": 1e-3,
    "clip_threshold": 0.7, "scale_parameter": 1,
}  # fmt: skip


def tensor(rng, shape, param_dtype=FLOAT32, grad_dtype=FLOAT32, master=False, moment=False):
    def positive(shape):
        return rng.uniform(0.5, 2, shape).astype(np.float32)

    weights = rng.normal(size=shape).astype(np.float32)
    factored = len(shape) > 1
    return {
        "param": weights.astype(param_dtype),
        "grad": rng.normal(size=shape).astype(grad_dtype),
        "master": weights if master else None,
        "row": positive(shape[:-1]) if factored else None,
        "col": positive((*shape[:-2], shape[-1])) if factored else None,
        "square": None if factored else positive(shape),
        "exp_avg": rng.normal(size=shape).astype(np.float32) if moment else None,
        "batches": int(np.prod(shape[:-2])) if factored else 1,
        "rows": shape[-2] if factored else 1,
        "cols": shape[-1],
    }


def run(emulator, tensors, *, grad_scale=None, grad_factor=1.0, hyper=None, **how):
    settings = HYPER | (hyper or {})
    keep = ("grad", "batches", "rows", "cols")
    table = [{k: v if v is None or k in keep else inout(v) for k, v in t.items()} for t in tensors]
    args = {
        "tensors": ("AdafactorTensor", table), "count": len(table),
        "grad_scale": None if grad_scale is None else np.array([grad_scale], np.float32),
        "grad_factor": grad_factor, "param_dtype": tensors[0]["param"].dtype,
        "grad_dtype": tensors[0]["grad"].dtype, **settings,
    }  # fmt: skip
    size = emulator.call(
        "pyllm_cuda_adafactor_step", "AdafactorStep", workspace=None,
        workspace_bytes=Out((1,), np.int64), **args,
    )["workspace_bytes"][0]  # fmt: skip
    return emulator.call(
        "pyllm_cuda_adafactor_step", "AdafactorStep", workspace=Out((size,), np.uint8),
        workspace_bytes=None, **args, **how,
    )  # fmt: skip


def expected(t, scale, hyper=None):
    """The tensor after a step of the CPU's op in float64."""
    settings = HYPER | (hyper or {})
    after = {k: v.astype(np.float64) if isinstance(v, np.ndarray) else v for k, v in t.items()} | {
        "param": start_of(t)
    }
    ops.adafactor_step(
        after["param"], after["grad"], after["row"], after["col"], exp_avg_sq=after["square"],
        exp_avg=after["exp_avg"], lr=settings["lr"], beta1=settings["beta1"],
        beta2=settings["beta2"], eps=(settings["eps"], settings["least_rms"]),
        clip_threshold=settings["clip_threshold"], weight_decay=settings["weight_decay"],
        scale_parameter=bool(settings["scale_parameter"]), grad_scale=scale,
    )  # fmt: skip
    return after


def check(got, tensors, scale, hyper=None):
    for i, t in enumerate(tensors):
        after = expected(t, scale, hyper)
        for name in ("row", "col", "square"):
            if t[name] is not None:
                np.testing.assert_allclose(got[f"tensors[{i}].{name}"], after[name], rtol=2e-5)
        wide = "param" if t["master"] is None else "master"
        tolerance = 1e-5 if got[f"tensors[{i}].{wide}"].dtype == np.float32 else 2e-3
        for name, target in ((wide, "param"), ("exp_avg", "exp_avg")):
            if t[target] is None:
                continue
            values = got[f"tensors[{i}].{name}"].astype(np.float64)
            np.testing.assert_allclose(values, after[target], rtol=tolerance, atol=tolerance * 0.1)
        check_rounded(got, i, t)


@pytest.mark.parametrize("moment", [False, True], ids=["plain", "momentum"])
@pytest.mark.parametrize(("param_dtype", "grad_dtype", "master"), STORAGE)
def test_step(emulator_for, rng, param_dtype, grad_dtype, master, moment):
    tensors = [tensor(rng, shape, param_dtype, grad_dtype, master, moment) for shape in SHAPES]
    hyper = {"beta1": 0.9 if moment else 0.0}
    got = run(emulator_for("plain", SOURCES), tensors, grad_scale=0.5, grad_factor=-1, hyper=hyper)
    check(got, tensors, -0.5, hyper)


@pytest.mark.parametrize(
    "hyper",
    [{"scale_parameter": 0}, {"clip_threshold": 1e9}, {"least_rms": 10.0}, {"weight_decay": 0.0}],
    ids=str,
)
def test_settings(emulator_for, rng, hyper):
    tensors = [tensor(rng, shape) for shape in [(50,), (7, 9)]]
    check(run(emulator_for("plain", SOURCES), tensors, hyper=hyper), tensors, 1.0, hyper)


def test_more_tensors_than_one_table_holds(emulator_for, rng):
    tensors = [tensor(rng, (3, 4) if i % 2 else (5,)) for i in range(37)]
    check(run(emulator_for("plain", SOURCES), tensors), tensors, 1.0)


@pytest.mark.parametrize("variant", ["asan", "tsan"])
@pytest.mark.parametrize("order", ORDERS)
def test_sanitized_in_every_order(emulator_for, rng, variant, order):
    """Two tiles of rows, a ragged one; the sums are the same to the bit in every order."""
    tensors = [
        tensor(rng, (37, 130), BFLOAT16, BFLOAT16, True, True),
        tensor(rng, (600,), BFLOAT16, BFLOAT16, True, True),
    ]
    want = run(emulator_for(variant, SOURCES), tensors)
    got = run(emulator_for(variant, SOURCES), tensors, order=order, order_seed=5)
    for name, values in want.outputs.items():
        if name != "workspace":
            np.testing.assert_array_equal(got[name], values)


def test_gradients_are_read_three_times_and_parameters_twice(emulator_for, rng):
    t = tensor(rng, (64, 2048))
    kernels = run(emulator_for("plain", SOURCES), [t], counted=True).kernels
    by_pass = {k.split("<")[0].split("adafactor_")[1]: v for k, v in kernels.items()}
    size = t["grad"].nbytes
    blocks, threads = 4, 256
    assert by_pass["sums"]["blocks"] == by_pass["apply"]["blocks"] == blocks
    assert by_pass["sums"]["global_read_bytes"] == 2 * size
    # Sums of 32 rows a column; two slabs a row.
    assert by_pass["sums"]["global_write_bytes"] == size // 32 + 64 * 2 * 4 + blocks * 2 * 8
    # Each thread reads its columns' states, its rows' and their mean, and the rates.
    factors = blocks * threads * (4 * 4 + 32 * 4 + 4)
    assert by_pass["updates"]["global_read_bytes"] == size + factors
    rates = blocks * threads * 32 * 2 * 4
    assert by_pass["apply"]["global_read_bytes"] == 2 * size + factors + rates
    assert by_pass["apply"]["global_write_bytes"] == size


def test_nan_shows(emulator_for, rng):
    t = tensor(rng, (8, 8))
    t["grad"][3, 3] = np.nan
    assert np.isnan(run(emulator_for("plain", SOURCES), [t])["tensors[0].param"]).all()


def test_bad_arguments_are_refused(emulator_for, rng):
    emulator = emulator_for("plain", SOURCES)
    with pytest.raises(CudaError, match="error 1"):
        run(emulator, [tensor(rng, (4, 4))], hyper={"clip_threshold": 0.0})
    with pytest.raises(CudaError, match="error 1"):
        run(emulator, [tensor(rng, (4, 4)) | {"row": None}])
    with pytest.raises(CudaError, match="error 1"):
        run(emulator, [tensor(rng, (4,)) | {"rows": 2}])
