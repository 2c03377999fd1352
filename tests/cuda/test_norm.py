"""The CUDA layer_norm and rms_norm through the emulator, against the float64 references."""

import ml_dtypes
import numpy as np
import pytest

from tests.cuda.emulator.build import KERNELS
from tests.cuda.emulator.client import ORDERS, CudaError, Out
from tests.reference.layer_norm import layer_norm, layer_norm_backward
from tests.reference.rms_norm import rms_norm, rms_norm_backward
from tests.tolerance import assert_close

SOURCES = [KERNELS / "norm.cu"]
FLOAT32 = np.dtype(np.float32)
DTYPES = [FLOAT32, np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16)]
EPS = 1e-5
# Around the 16-byte vectors, and the sizes at which a row is shared out otherwise.
SIZES = [1, 7, 8, 33, 256, 1000, 1024, 1032, 4104, 8193, 8200]


def forward(emulator, x, weight=None, bias=None, *, residual=None, rms=False, **options):
    rows, n = x.shape
    parameters = x.dtype if weight is None else weight.dtype
    return emulator.call(
        "pyllm_cuda_norm_forward", "NormForward",
        x=x, residual=residual, weight=weight, bias=bias, y=Out(x.shape, x.dtype),
        sum=None if residual is None else Out(x.shape, x.dtype),
        mean=None if rms else Out((rows,), FLOAT32), rstd=Out((rows,), FLOAT32),
        rows=rows, n=n, x_row_stride=n, residual_row_stride=n, y_row_stride=n, sum_row_stride=n,
        eps=EPS, dtype=x.dtype, parameter_dtype=parameters, rms=rms, **options,
    )  # fmt: skip


def backward(emulator, dy, x, weight, mean, rstd, *, grad_sum=None, partial_rows=2, **options):
    rows, n = x.shape
    parameters = x.dtype if weight is None else weight.dtype
    return emulator.call(
        "pyllm_cuda_norm_backward", "NormBackward",
        dy=dy, x=x, weight=weight, grad_sum=grad_sum, mean=mean, rstd=rstd,
        dx=Out(x.shape, x.dtype),
        dweight=None if weight is None else Out((n,), parameters),
        dbias=None if weight is None or mean is None else Out((n,), parameters),
        partial=Out((2, partial_rows, n), FLOAT32), rows=rows, n=n, partial_rows=partial_rows,
        dy_row_stride=n, x_row_stride=n, grad_sum_row_stride=n, dx_row_stride=n,
        dtype=x.dtype, parameter_dtype=parameters, **options,
    )  # fmt: skip


def wide(*arrays):
    return [np.asarray(a, np.float64) for a in arrays]


def statistics(x, rms):
    """mean (None for rms) and rstd as the forward saves them."""
    (x,) = wide(x)
    mean = 0 if rms else x.mean(-1)
    rstd = 1 / np.sqrt(((x.T - mean) ** 2).mean(0) + EPS)
    return None if rms else mean.astype(FLOAT32), rstd.astype(FLOAT32)


def check_forward(result, s, weight, bias, rms):
    if rms:
        expected = rms_norm(*wide(s, weight), EPS) + bias
    else:
        expected = layer_norm(*wide(s, weight, bias), EPS)
    mean, rstd = statistics(s, rms)
    scale = (1 + np.abs(wide(s)[0])) * (1 + rstd[:, None]) * (1 + np.abs(weight)) + np.abs(bias)
    ops = 8 + np.sqrt(s.shape[1])
    assert_close(result["y"], expected, ops=ops, scale=scale)
    assert_close(result["rstd"], rstd, ops=ops)
    if not rms:
        assert_close(result["mean"], mean, ops=ops, scale=np.abs(wide(s)[0]).max(-1))


def check_backward(result, dy, x, weight, rms, more=0.0):
    if rms:
        expected = (*rms_norm_backward(*wide(dy, x, weight), EPS), None)
    else:
        expected = layer_norm_backward(*wide(dy, x, weight), EPS)
    _, rstd = statistics(x, rms)
    ops = 16 + np.sqrt(x.shape[1])
    terms = np.abs(wide(dy)[0]) * (1 + np.abs(wide(weight)[0]))
    scale = rstd[:, None] * (terms + 4 * terms.max(-1, keepdims=True)) + np.abs(more)
    assert_close(result["dx"], expected[0] + more, ops=ops, scale=scale)
    columns = (np.abs(wide(dy)[0]) * (4 + rstd[:, None])).sum(0)
    assert_close(result["dweight"], expected[1], ops=16, scale=columns)
    if not rms:
        assert_close(result["dbias"], expected[2], ops=16, scale=columns)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("rms", [False, True], ids=["layer_norm", "rms_norm"])
@pytest.mark.parametrize("n", SIZES)
def test_forward(emulator_for, rng, n, rms, dtype):
    x, residual = (3 + rng.standard_normal((2, 3, n))).astype(dtype)
    weight, bias = rng.standard_normal((2, n)).astype(dtype)
    result = forward(emulator_for("plain", SOURCES), x, weight, bias, residual=residual, rms=rms)
    s = (x.astype(FLOAT32) + residual.astype(FLOAT32)).astype(dtype)
    np.testing.assert_array_equal(result["sum"], s)
    check_forward(result, s, weight, wide(bias)[0], rms)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("rms", [False, True], ids=["layer_norm", "rms_norm"])
@pytest.mark.parametrize("n", SIZES)
def test_backward(emulator_for, rng, n, rms, dtype):
    x, dy, more = rng.standard_normal((3, 3, n)).astype(dtype)
    weight = rng.standard_normal(n).astype(dtype)
    result = backward(
        emulator_for("plain", SOURCES), dy, x, weight, *statistics(x, rms), grad_sum=more
    )
    check_backward(result, dy, x, weight, rms, wide(more)[0])


@pytest.mark.parametrize("n", [64, 1500, 8256])
def test_float32_parameters_beside_bfloat16(emulator_for, rng, n):
    x, dy = rng.standard_normal((2, 2, n)).astype(ml_dtypes.bfloat16)
    weight, bias = rng.standard_normal((2, n)).astype(FLOAT32)
    emulator = emulator_for("plain", SOURCES)
    check_forward(forward(emulator, x, weight, bias), x, weight, bias, rms=False)
    result = backward(emulator, dy, x, weight, *statistics(x, False))
    assert result["dweight"].dtype == FLOAT32
    check_backward(result, dy, x, weight, rms=False)


def test_without_parameters(emulator_for, rng):
    x, dy = rng.standard_normal((2, 5, 40)).astype(FLOAT32)
    emulator = emulator_for("plain", SOURCES)
    ones = np.ones(40, FLOAT32)
    check_forward(forward(emulator, x), x, ones, 0 * ones, rms=False)
    dx = backward(emulator, dy, x, None, *statistics(x, False))["dx"]
    expected = layer_norm_backward(*wide(dy, x, ones), EPS)[0]
    assert_close(dx, expected, ops=40, scale=10.0)


@pytest.mark.parametrize("variant", ["asan", "tsan"])
@pytest.mark.parametrize("order", ORDERS)
def test_sanitized_in_every_order(emulator_for, rng, variant, order):
    """Warp rows, block rows and long rows, odd and aligned: the same bits in every order."""
    for n, rows in ((33, 9), (1100, 3), (8256, 2)):
        x, r = rng.standard_normal((2, rows, n)).astype(FLOAT32)
        weight, bias = rng.standard_normal((2, n)).astype(FLOAT32)
        first = forward(emulator_for(variant, SOURCES), x, weight, bias, residual=r)
        got = forward(
            emulator_for(variant, SOURCES), x, weight, bias, residual=r, order=order, order_seed=n
        )
        for name, array in first.outputs.items():
            np.testing.assert_array_equal(got[name], array)
        s = statistics(x, False)
        first = backward(emulator_for(variant, SOURCES), r, x, weight, *s)
        got = backward(emulator_for(variant, SOURCES), r, x, weight, *s, order=order, order_seed=n)
        for name, array in first.outputs.items():
            np.testing.assert_array_equal(got[name], array)


@pytest.mark.parametrize("n", [40, 2000, 9000])
def test_offset_costs_no_digits_and_nan_stays_in_its_row(emulator_for, rng, n):
    x = rng.standard_normal((3, n)).astype(FLOAT32) + FLOAT32.type(4096)
    x[1, n // 2] = np.nan
    y = forward(emulator_for("plain", SOURCES), x)["y"]
    assert np.isnan(y[1]).all()
    expected = layer_norm(*wide(x[::2], np.ones(n), np.zeros(n)), EPS)
    # The mean is off by a few roundings of 4096, and all of a row with it.
    np.testing.assert_allclose(y[::2], expected, atol=4 * 4096 * 2.0**-24)


@pytest.mark.parametrize(("n", "reads"), [(256, 1), (2048, 1), (8192, 1), (8448, 2)])
def test_forward_traffic_is_the_minimum(emulator_for, rng, n, reads):
    """x and residual read once, y and sum written once; rows beyond 8192 read sum again."""
    x, residual = rng.standard_normal((2, 4, n)).astype(ml_dtypes.bfloat16)
    weight = rng.standard_normal(n).astype(ml_dtypes.bfloat16)
    (counts,) = forward(
        emulator_for("plain", SOURCES), x, weight, weight, residual=residual, counted=True
    ).kernels.values()
    assert counts["global_read_bytes"] == (1 + reads) * x.nbytes + 2 * 4 * weight.nbytes
    assert counts["global_write_bytes"] == 2 * x.nbytes + 2 * 4 * 4
    # A row's two statistics take a sector each.
    assert counts["sectors"] == counts["ideal_sectors"]
    assert counts["wavefronts"] == counts["ideal_wavefronts"]
    assert counts["barriers"] == (0 if n <= 1024 else 4 * 2 * 2)


@pytest.mark.parametrize(("n", "reads"), [(256, 1), (2048, 1), (8192, 1), (8448, 3)])
def test_backward_traffic_is_the_minimum(emulator_for, rng, n, reads):
    """dy and x read once, dx written once, and the partial sums of two blocks."""
    x, dy = rng.standard_normal((2, 6, n)).astype(ml_dtypes.bfloat16)
    weight = rng.standard_normal(n).astype(ml_dtypes.bfloat16)
    result = backward(
        emulator_for("plain", SOURCES), dy, x, weight, *statistics(x, False), counted=True
    )
    partial = 2 * 2 * 4 * n
    columns = next(k for name, k in result.kernels.items() if "column_sums" in name)
    assert columns["global_read_bytes"] == partial
    assert columns["global_write_bytes"] == 2 * weight.nbytes
    assert columns["sectors"] == columns["ideal_sectors"]
    assert columns["wavefronts"] == columns["ideal_wavefronts"]
    others = [k for name, k in result.kernels.items() if "column_sums" not in name]
    assert sum(k["global_write_bytes"] for k in others) == x.nbytes + partial
    if reads == 1:
        (rows,) = others
        threads = {256: 128, 2048: 256, 8192: 512}[n]
        statistics_read = 6 * threads * 8
        assert rows["global_read_bytes"] == 2 * x.nbytes + 6 * weight.nbytes + statistics_read
        # A thread's eight partial sums are two stores, each of half a sector.
        assert rows["sectors"] == rows["ideal_sectors"] + partial // 32


@pytest.mark.parametrize("shape", [(0, 5), (5, 0)])
def test_empty(emulator_for, shape):
    x, weight = np.zeros(shape, FLOAT32), np.ones(shape[1], FLOAT32)
    emulator = emulator_for("plain", SOURCES)
    assert forward(emulator, x, weight, weight)["y"].shape == shape
    result = backward(emulator, x, x, weight, *statistics(np.ones((shape[0], 1)), False))
    np.testing.assert_array_equal(result["dweight"], np.zeros(shape[1]))


@pytest.mark.parametrize(
    "bad", [{"rows": -1}, {"dtype": 9}, {"eps": -1.0}, {"parameter_dtype": 2}, {"sum": None}],
    ids=str,
)  # fmt: skip
def test_bad_arguments_are_refused(emulator_for, bad):
    x = np.zeros((2, 4), FLOAT32)
    args = {
        "x": x, "residual": x, "weight": None, "bias": None, "y": Out(x.shape, FLOAT32),
        "sum": Out(x.shape, FLOAT32), "mean": None, "rstd": None, "rows": 2, "n": 4,
        "x_row_stride": 4, "residual_row_stride": 4, "y_row_stride": 4, "sum_row_stride": 4,
        "eps": EPS, "dtype": FLOAT32, "parameter_dtype": FLOAT32, "rms": 0,
    }  # fmt: skip
    with pytest.raises(CudaError, match="error 1"):
        emulator_for("plain", SOURCES).call(
            "pyllm_cuda_norm_forward", "NormForward", **{**args, **bad}
        )
