"""CUDA sums and extrema along rows and down columns, in one stage and in two; their traffic."""

import ml_dtypes
import numpy as np
import pytest

from tests.cuda.emulator.build import KERNELS
from tests.cuda.emulator.client import DTYPE_CODES, ORDERS, CudaError, Out

SOURCES = [KERNELS / "reduction.cu"]
DTYPES = [np.dtype(np.float32), np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16)]
OPS = {"sum": (0, np.sum), "max": (1, np.max), "min": (2, np.min)}


def reduce(emulator, op, x, *, down=False, chunks=1, **options):
    rows, columns = x.shape
    lines = columns if down else rows
    dtype = np.float32 if op == "sum" else x.dtype
    return emulator.call(
        "pyllm_cuda_reduction", "Reduction",
        x=x, y=Out((lines,), dtype), partial=Out((lines * chunks,), np.float32) if chunks > 1 else
        None, rows=rows, columns=columns, chunks=chunks, op=OPS[op][0],
        dtype=DTYPE_CODES[x.dtype], down=down, **options,
    )  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("chunks", [1, 3])
@pytest.mark.parametrize("down", [False, True])
@pytest.mark.parametrize("op", OPS)
def test_values(emulator_for, rng, op, down, chunks, dtype):
    for shape in [(1, 1), (5, 33), (3, 1500), (70, 40), (9, 0) if op == "sum" else (9, 3)]:
        x = rng.normal(size=shape).astype(dtype)
        got = reduce(emulator_for("plain", SOURCES), op, x, down=down, chunks=chunks)["y"]
        want = OPS[op][1](x.astype(np.float64), axis=0 if down else 1)
        if op != "sum":
            np.testing.assert_array_equal(got.astype(np.float64), want)
            continue
        # Rounding errors of a float32 sum grow with the elements' absolute values.
        bound = np.abs(x.astype(np.float64)).sum(0 if down else 1) * 2.0**-24 * 16
        assert (np.abs(got - want) <= bound).all()


@pytest.mark.parametrize("down", [False, True])
@pytest.mark.parametrize("chunks", [1, 2])
def test_nan_and_infinity(emulator_for, down, chunks):
    x = np.zeros((40, 40), np.float32)
    x[3, 3], x[5, 5], x[7, 7] = np.nan, np.inf, -np.inf
    for op, (_, function) in OPS.items():
        got = reduce(emulator_for("plain", SOURCES), op, x, down=down, chunks=chunks)["y"]
        np.testing.assert_array_equal(got, function(x, axis=0 if down else 1))


@pytest.mark.parametrize("variant", ["asan", "tsan"])
@pytest.mark.parametrize("order", ORDERS)
def test_sanitized_in_every_order(emulator_for, rng, variant, order):
    for shape, down, chunks in [((6, 300), False, 2), ((2, 1100), False, 1), ((40, 37), True, 3)]:
        x = rng.normal(size=shape).astype(np.float16)
        want = reduce(emulator_for("plain", SOURCES), "sum", x, down=down, chunks=chunks)["y"]
        got = reduce(
            emulator_for(variant, SOURCES), "sum", x, down=down, chunks=chunks, order=order
        )
        np.testing.assert_array_equal(got["y"], want)


@pytest.mark.parametrize("down", [False, True])
def test_the_input_is_read_once(emulator_for, rng, down):
    x = rng.normal(size=(64, 64)).astype(np.float32)
    result = reduce(emulator_for("plain", SOURCES), "sum", x, down=down, counted=True)
    assert result.total("global_read_bytes") == x.nbytes
    assert result.total("global_write_bytes") == 64 * 4
    assert result.total("sectors") == result.total("ideal_sectors")


def test_bad_arguments_are_refused(emulator_for):
    emulator, x = emulator_for("plain", SOURCES), np.ones((4, 4), np.float32)
    with pytest.raises(CudaError, match="error 1"):
        reduce(emulator, "sum", x, chunks=0)
    assert reduce(emulator, "sum", x[:0])["y"].shape == (0,)
