"""CUDA places of extrema: ties, NaN and infinities as NumPy has them, in one stage and in two."""

import ml_dtypes
import numpy as np
import pytest

from tests.cuda.emulator.build import KERNELS
from tests.cuda.emulator.client import DTYPE_CODES, ORDERS, CudaError, Out

SOURCES = [KERNELS / "argmax.cu"]
DTYPES = [np.dtype(np.float32), np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16)]


def places(emulator, x, *, smallest=False, chunks=1, **options):
    rows, columns = x.shape
    parts = [Out((rows * chunks,), kind) if chunks > 1 else None for kind in (np.float32, np.int64)]
    return emulator.call(
        "pyllm_cuda_extremum_places", "ExtremumPlaces", x=x, y=Out((rows,), np.int64),
        values=parts[0], places=parts[1], rows=rows, columns=columns, chunks=chunks,
        dtype=DTYPE_CODES[x.dtype], smallest=smallest, **options,
    )  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("chunks", [1, 3, 40])
@pytest.mark.parametrize("smallest", [False, True])
def test_values(emulator_for, rng, smallest, chunks, dtype):
    """Whole numbers, so that many elements tie."""
    function = np.argmin if smallest else np.argmax
    for shape in [(1, 1), (5, 33), (3, 1500), (6, 100)]:
        x = rng.integers(-3, 4, shape).astype(dtype)
        got = places(emulator_for("plain", SOURCES), x, smallest=smallest, chunks=chunks)["y"]
        np.testing.assert_array_equal(got, function(x, axis=1))


@pytest.mark.parametrize("columns", [50, 1100])
@pytest.mark.parametrize("chunks", [1, 2])
@pytest.mark.parametrize("smallest", [False, True])
def test_nan_and_infinity(emulator_for, smallest, chunks, columns):
    x = np.zeros((6, columns), np.float32)
    x[1, [40, 9, 48]] = np.nan
    x[2, 7], x[2, 9], x[3] = np.inf, -np.inf, -np.inf
    x[4], x[5, [3, 33]] = np.inf, [np.inf, np.nan]
    got = places(emulator_for("plain", SOURCES), x, smallest=smallest, chunks=chunks)["y"]
    np.testing.assert_array_equal(got, (np.argmin if smallest else np.argmax)(x, axis=1))


@pytest.mark.parametrize("variant", ["asan", "tsan"])
@pytest.mark.parametrize("order", ORDERS)
def test_sanitized_in_every_order(emulator_for, rng, variant, order):
    for shape, chunks in [((6, 300), 2), ((2, 1100), 1)]:
        x = rng.normal(size=shape).astype(np.float16)
        got = places(emulator_for(variant, SOURCES), x, chunks=chunks, order=order)["y"]
        np.testing.assert_array_equal(got, x.argmax(axis=1))


def test_the_input_is_read_once(emulator_for, rng):
    x = rng.normal(size=(64, 64)).astype(np.float32)
    result = places(emulator_for("plain", SOURCES), x, counted=True)
    assert result.total("global_read_bytes") == x.nbytes
    assert result.total("global_write_bytes") == 64 * 8


def test_bad_arguments_are_refused(emulator_for):
    emulator, x = emulator_for("plain", SOURCES), np.ones((4, 4), np.float32)
    for bad in ({"chunks": 0}, {"chunks": 70_000}):
        with pytest.raises(CudaError, match="error 1"):
            places(emulator, x, **bad)
    with pytest.raises(CudaError, match="error 1"):
        places(emulator, x[:, :0])
    assert places(emulator, x[:0])["y"].shape == (0,)
