"""The CUDA softmax through the emulator, against the float64 reference."""

import ml_dtypes
import numpy as np
import pytest

from tests.cuda.emulator.build import KERNELS
from tests.cuda.emulator.client import ORDERS, CudaError, Out
from tests.reference import softmax as reference
from tests.tolerance import assert_close

SOURCES = [KERNELS / "softmax.cu"]
DTYPES = [np.dtype(np.float32), np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16)]
# Around the 16-byte vectors, the rows that are held (2048, 8192) and those that are read twice.
SIZES = [1, 2, 7, 8, 31, 33, 256, 1000, 2048, 2049, 8192, 8193, 8200]


def forward(emulator, x, *, log=False, temperature=1.0, **options):
    rows, n = x.shape
    return emulator.call(
        "pyllm_cuda_softmax_forward",
        "SoftmaxForward",
        x=x,
        y=Out(x.shape, x.dtype),
        rows=rows,
        n=n,
        x_row_stride=n,
        y_row_stride=n,
        temperature=temperature,
        dtype=x.dtype,
        log=log,
        **options,
    )


def backward(emulator, dy, y, *, log=False, temperature=1.0, **options):
    rows, n = y.shape
    return emulator.call(
        "pyllm_cuda_softmax_backward",
        "SoftmaxBackward",
        dy=dy,
        y=y,
        dx=Out(y.shape, y.dtype),
        rows=rows,
        n=n,
        dy_row_stride=n,
        y_row_stride=n,
        dx_row_stride=n,
        temperature=temperature,
        dtype=y.dtype,
        log=log,
        **options,
    )


def check_forward(got, x, *, log=False, temperature=1.0):
    name = "log_softmax" if log else "softmax"
    expected = getattr(reference, name)(x.astype(np.float64), temperature=temperature)
    # x / temperature rounds once, and the exponent carries that into y as |s| roundings.
    reach = np.abs(x.astype(np.float64)).max(initial=1) / temperature
    scale = reach + np.abs(expected) if log else None
    assert_close(
        got, expected, ops=12 + np.sqrt(x.shape[1]) + (0 if log else 4 * reach), scale=scale
    )


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("log", [False, True], ids=["softmax", "log_softmax"])
@pytest.mark.parametrize("n", SIZES)
def test_forward(emulator_for, rng, n, log, dtype):
    x = (3 * rng.standard_normal((3, n))).astype(dtype)
    got = forward(emulator_for("plain", SOURCES), x, log=log, temperature=0.7)
    check_forward(got["y"], x, log=log, temperature=np.float32(0.7))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("log", [False, True], ids=["softmax", "log_softmax"])
@pytest.mark.parametrize("n", SIZES)
def test_backward(emulator_for, rng, n, log, dtype):
    name = "log_softmax" if log else "softmax"
    y = getattr(reference, name)(rng.standard_normal((2, n))).astype(dtype)
    dy = rng.standard_normal((2, n)).astype(dtype)
    got = backward(emulator_for("plain", SOURCES), dy, y, log=log, temperature=2.0)["dx"]
    expected = getattr(reference, f"{name}_backward")(dy, y, temperature=2.0)
    wide_y, wide_dy = y.astype(np.float64), np.abs(dy.astype(np.float64))
    if log:
        scale = wide_dy + np.exp(wide_y) * wide_dy.sum(-1, keepdims=True)
    else:
        scale = wide_y * (wide_dy + (wide_dy * wide_y).sum(-1, keepdims=True))
    assert_close(got, expected, ops=12 + np.sqrt(n), scale=scale)


@pytest.mark.parametrize("variant", ["asan", "tsan"])
@pytest.mark.parametrize("order", ORDERS)
def test_sanitized_in_every_order(emulator_for, rng, variant, order):
    """Odd and aligned, held and twice-read rows; outputs are the same to the bit in every order."""
    for n in (33, 2052, 8200):
        x = rng.standard_normal((2, n)).astype(np.float32)
        plain = forward(emulator_for("plain", SOURCES), x)["y"]
        got = forward(emulator_for(variant, SOURCES), x, order=order, order_seed=n)["y"]
        np.testing.assert_allclose(got, plain, rtol=1e-6)
        first = forward(emulator_for(variant, SOURCES), x)["y"]
        np.testing.assert_array_equal(got, first)
        backward(emulator_for(variant, SOURCES), x, got, order=order, order_seed=n)


@pytest.mark.parametrize("n", [5, 3000, 9000])
def test_infinities_and_nan(emulator_for, n):
    x = np.zeros((3, n), np.float32)
    x[0] = -np.inf
    x[1, 1:] = -np.inf
    x[2, 3] = np.nan
    emulator = emulator_for("plain", SOURCES)
    y = forward(emulator, x)["y"]
    np.testing.assert_array_equal(y[0], 0)
    np.testing.assert_array_equal(y[1], np.eye(1, n)[0])
    assert np.isnan(y[2]).all()
    log_y = forward(emulator, x, log=True)["y"]
    assert np.isneginf(log_y[0]).all()
    assert log_y[1, 0] == 0
    assert np.isneginf(log_y[1, 1:]).all()
    assert np.isnan(log_y[2]).all()


def test_large_magnitudes_do_not_overflow(emulator_for):
    x = np.array([[3e38, -3e38, 3e38], [-3e38, -3e38, -3e38]], np.float32)
    y = forward(emulator_for("plain", SOURCES), x)["y"]
    np.testing.assert_allclose(y, [[0.5, 0, 0.5], [1 / 3] * 3], rtol=1e-6)


def test_row_strides_and_in_place_are_the_launchers_business(emulator_for, rng):
    """Rows 12 apart, of which 8 count: the rest is neither read nor written."""
    x = rng.standard_normal((4, 12)).astype(np.float32)
    result = emulator_for("asan", SOURCES).call(
        "pyllm_cuda_softmax_forward", "SoftmaxForward",
        x=x, y=Out((4, 12), np.float32, np.full((4, 12), 7.0)), rows=4, n=8,
        x_row_stride=12, y_row_stride=12, temperature=1.0, dtype=x.dtype, log=0,
    )  # fmt: skip
    assert_close(result["y"][:, :8], reference.softmax(x[:, :8]), ops=30)
    np.testing.assert_array_equal(result["y"][:, 8:], 7)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("n", [1024, 4096, 8192])
def test_traffic_is_the_minimum(emulator_for, rng, n, dtype):
    """Reads its input once, writes its output once, in full sectors; no bank conflicts."""
    x = rng.standard_normal((3, n)).astype(dtype)
    (counts,) = forward(emulator_for("plain", SOURCES), x, counted=True).kernels.values()
    assert counts["blocks"] == 3
    assert counts["global_read_bytes"] == counts["global_write_bytes"] == x.nbytes
    assert counts["sectors"] == counts["ideal_sectors"] == 2 * x.nbytes // 32
    assert counts["wavefronts"] == counts["ideal_wavefronts"]
    assert counts["barriers"] == 3 * 4

    (counts,) = backward(emulator_for("plain", SOURCES), x, x, counted=True).kernels.values()
    assert counts["global_read_bytes"] == 2 * x.nbytes
    assert counts["global_write_bytes"] == x.nbytes
    assert counts["sectors"] == counts["ideal_sectors"] == 3 * x.nbytes // 32


def test_long_rows_are_read_twice(emulator_for, rng):
    x = rng.standard_normal((1, 8448)).astype(np.float32)
    (counts,) = forward(emulator_for("plain", SOURCES), x, counted=True).kernels.values()
    assert counts["global_read_bytes"] == 2 * x.nbytes
    assert counts["global_write_bytes"] == x.nbytes


@pytest.mark.parametrize("shape", [(0, 5), (5, 0)])
def test_empty(emulator_for, shape):
    x = np.zeros(shape, np.float32)
    assert forward(emulator_for("plain", SOURCES), x)["y"].shape == shape


@pytest.mark.parametrize(("name", "value"), [("rows", -1), ("dtype", 9), ("temperature", 0.0)])
def test_bad_arguments_are_refused(emulator_for, name, value):
    args = {
        "rows": 1,
        "n": 4,
        "x_row_stride": 4,
        "y_row_stride": 4,
        "temperature": 1.0,
        "dtype": 0,
        "log": 0,
    }
    with pytest.raises(CudaError, match="error 1"):
        emulator_for("plain", SOURCES).call(
            "pyllm_cuda_softmax_forward", "SoftmaxForward",
            x=np.zeros(4, np.float32), y=Out((4,), np.float32), **{**args, name: value},
        )  # fmt: skip
