"""The CUDA activations and gated linear units through the emulator, against float64."""

import ml_dtypes
import numpy as np
import pytest

from tests.cuda.emulator.build import KERNELS
from tests.cuda.emulator.client import ORDERS, CudaError, Out
from tests.reference.activation import ACT, SLOPE
from tests.tolerance import assert_close

SOURCES = [KERNELS / "activation.cu"]
FLOAT32 = np.dtype(np.float32)
DTYPES = [FLOAT32, np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16)]
KINDS = {"relu": 0, "gelu": 1, "gelu_tanh": 2, "silu": 3}
SHAPES = [(1, 1), (3, 7), (9, 40), (2, 1032)]
# Roundings of the longest formula, and the 2 + 1.2 |x| of the fast exponential's argument.
OPS = 24


def wide(*arrays):
    return [np.asarray(a, np.float64) for a in arrays]


def forward(emulator, kind, x, bias=None, **options):
    rows, n = x.shape
    return emulator.call(
        "pyllm_cuda_activation_forward", "ActivationForward",
        x=x, bias=bias, y=Out(x.shape, x.dtype), rows=rows, n=n, x_row_stride=n, y_row_stride=n,
        kind=KINDS[kind], dtype=x.dtype, **options,
    )  # fmt: skip


def backward(emulator, kind, dy, x, bias=None, *, partial_rows=2, **options):
    rows, n = x.shape
    return emulator.call(
        "pyllm_cuda_activation_backward", "ActivationBackward",
        dy=dy, x=x, bias=bias, dx=Out(x.shape, x.dtype),
        dbias=None if bias is None else Out((n,), x.dtype), partial=Out((partial_rows, n), FLOAT32),
        rows=rows, n=n, partial_rows=partial_rows, dy_row_stride=n, x_row_stride=n,
        dx_row_stride=n, kind=KINDS[kind], dtype=x.dtype, **options,
    )  # fmt: skip


def glu(emulator, kind, packed, gate_bias=None, up_bias=None, **options):
    """gate is read in place from rows twice as wide; up from a copy that starts with it."""
    rows, n = packed.shape[0], packed.shape[1] // 2
    return emulator.call(
        "pyllm_cuda_glu_forward", "GluForward",
        gate=packed, up=np.roll(packed, -n, 1), gate_bias=gate_bias, up_bias=up_bias,
        y=Out((rows, n), packed.dtype), rows=rows, n=n, gate_row_stride=2 * n,
        up_row_stride=2 * n, y_row_stride=n, kind=KINDS[kind], dtype=packed.dtype, **options,
    )  # fmt: skip


def glu_backward(emulator, kind, dy, gate, up, gate_bias=None, up_bias=None, **options):
    rows, n = gate.shape
    dtype = gate.dtype
    return emulator.call(
        "pyllm_cuda_glu_backward", "GluBackward",
        dy=dy, gate=gate, up=up, gate_bias=gate_bias, up_bias=up_bias,
        dgate=Out((rows, n), dtype), dup=Out((rows, n), dtype),
        dgate_bias=None if gate_bias is None else Out((n,), dtype),
        dup_bias=None if up_bias is None else Out((n,), dtype),
        partial=Out((2, 3, n), FLOAT32), rows=rows, n=n, partial_rows=3, dy_row_stride=n,
        gate_row_stride=n, up_row_stride=n, dgate_row_stride=n, dup_row_stride=n,
        kind=KINDS[kind], dtype=dtype, **options,
    )  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("with_bias", [False, True], ids=["plain", "bias"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_activation(emulator_for, rng, kind, shape, with_bias, dtype):
    emulator = emulator_for("plain", SOURCES)
    x, dy = (3 * rng.standard_normal((2, *shape))).astype(dtype)
    bias = rng.standard_normal(shape[1]).astype(dtype) if with_bias else None
    x64, dy64 = wide(x, dy)
    x64 = x64 + (wide(bias)[0] if with_bias else 0)
    reach = np.abs(x64) + np.abs(wide(x)[0])
    assert_close(forward(emulator, kind, x, bias)["y"], ACT[kind](x64), ops=OPS, scale=reach)
    result = backward(emulator, kind, dy, x, bias)
    scale = np.abs(dy64) * (1 + reach**2)
    expected = dy64 * SLOPE[kind](x64)
    assert_close(result["dx"], expected, ops=OPS, scale=scale)
    if with_bias:
        assert_close(result["dbias"], expected.sum(0), ops=OPS, scale=scale.sum(0))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("biases", [(False, False), (True, True), (True, False), (False, True)])
@pytest.mark.parametrize("shape", [(5, 7), (3, 264)], ids=str)
@pytest.mark.parametrize("kind", ["silu", "gelu", "gelu_tanh"])
def test_glu(emulator_for, rng, kind, shape, biases, dtype):
    emulator = emulator_for("plain", SOURCES)
    rows, n = shape
    packed = (2 * rng.standard_normal((rows, 2 * n))).astype(dtype)
    dy = rng.standard_normal(shape).astype(dtype)
    given = [rng.standard_normal(n).astype(dtype) if b else None for b in biases]
    gate, up = np.ascontiguousarray(packed[:, :n]), np.ascontiguousarray(packed[:, n:])
    g, u = (
        a.astype(np.float64) + (0 if b is None else wide(b)[0])
        for a, b in zip((gate, up), given, strict=True)
    )
    reach = 4 + np.abs(g) + np.abs(u)
    y = glu(emulator, kind, packed, *given)["y"]
    assert_close(y, ACT[kind](g) * u, ops=OPS, scale=reach**2)
    result = glu_backward(emulator, kind, dy, gate, up, *given)
    scale = np.abs(wide(dy)[0]) * reach**3
    dgate, dup = wide(dy)[0] * u * SLOPE[kind](g), wide(dy)[0] * ACT[kind](g)
    assert_close(result["dgate"], dgate, ops=OPS, scale=scale)
    assert_close(result["dup"], dup, ops=OPS, scale=scale)
    for name, b, d in zip(("gate", "up"), given, (dgate, dup), strict=True):
        if b is not None:
            assert_close(result[f"d{name}_bias"], d.sum(0), ops=OPS, scale=scale.sum(0))


@pytest.mark.parametrize("kind", KINDS)
def test_large_magnitudes_and_nan(emulator_for, kind):
    """No overflow on the way: far out an activation is 0 or x, and its slope 0 or 1."""
    x = np.array([[-3e38, -1e19, -100, 0, 100, 1e19, 3e38, np.nan]], FLOAT32)
    emulator = emulator_for("plain", SOURCES)
    y = forward(emulator, kind, x)["y"]
    np.testing.assert_array_equal(y, np.where(x < 0, 0, x))
    dx = backward(emulator, kind, np.ones_like(x), x)["dx"]
    np.testing.assert_array_equal(dx[0, [0, 1, 2, 4, 5, 6]], [0, 0, 0, 1, 1, 1])
    assert kind == "relu" or np.isnan(dx[0, 7])


@pytest.mark.parametrize("variant", ["asan", "tsan"])
@pytest.mark.parametrize("order", ORDERS)
def test_sanitized_in_every_order(emulator_for, rng, variant, order):
    for n in (33, 520):
        x, dy = rng.standard_normal((2, 7, n)).astype(FLOAT32)
        bias = rng.standard_normal(n).astype(FLOAT32)
        calls = [
            lambda e, x=x, bias=bias, **o: forward(e, "gelu", x, bias, **o),
            lambda e, x=x, dy=dy, bias=bias, **o: backward(e, "silu", dy, x, bias, **o),
            lambda e, x=x, dy=dy, bias=bias, **o: glu_backward(
                e, "gelu_tanh", dy, x, dy, bias, bias, **o
            ),
            lambda e, x=x, dy=dy, **o: glu(e, "silu", np.concatenate([x, dy], 1), **o),
        ]
        for call in calls:
            expected = call(emulator_for(variant, SOURCES)).outputs
            got = call(emulator_for(variant, SOURCES), order=order, order_seed=n)
            for name, array in expected.items():
                np.testing.assert_array_equal(got[name], array)


def test_each_element_moves_once(emulator_for, rng):
    emulator = emulator_for("plain", SOURCES)
    x, dy = rng.standard_normal((2, 6, 1024)).astype(ml_dtypes.bfloat16)
    bias = x[0].copy()

    (counts,) = forward(emulator, "gelu", x, counted=True).kernels.values()
    assert counts["global_read_bytes"] == counts["global_write_bytes"] == x.nbytes
    assert counts["sectors"] == counts["ideal_sectors"] == 2 * x.nbytes // 32

    # Two rows of blocks for six rows: each reads the bias once.
    (counts,) = forward(emulator, "gelu", x, bias, counted=True).kernels.values()
    assert counts["global_read_bytes"] == x.nbytes + 2 * bias.nbytes

    rows, columns = backward(emulator, "gelu", dy, x, bias, counted=True).kernels.values()
    partial = 2 * 1024 * 4
    assert rows["global_read_bytes"] == 2 * x.nbytes + 2 * bias.nbytes
    assert rows["global_write_bytes"] == x.nbytes + partial
    assert columns["global_read_bytes"] == partial

    (counts,) = glu_backward(emulator, "silu", dy, x, dy, counted=True).kernels.values()
    assert counts["global_read_bytes"] == 3 * x.nbytes
    assert counts["global_write_bytes"] == 2 * x.nbytes
    assert counts["sectors"] == counts["ideal_sectors"] == 5 * x.nbytes // 32


def test_narrow_rows_are_one_run(emulator_for, rng):
    """Where no column has a bias of its own, rows of four leave no thread idle."""
    emulator = emulator_for("plain", SOURCES)
    x, dy, up = rng.standard_normal((3, 1024, 4)).astype(FLOAT32)
    calls = [
        forward(emulator, "silu", x, counted=True),
        backward(emulator, "silu", dy, x, counted=True),
        glu(emulator, "silu", np.concatenate([x, up], 1), counted=True),
        glu_backward(emulator, "silu", dy, x, up, counted=True),
    ]
    blocks = [next(iter(call.kernels.values()))["blocks"] for call in calls]
    assert blocks == [8, 8, 256, 8]  # packed halves of rows are apart: not one run
    dgate = dy.astype(np.float64) * up * SLOPE["silu"](x.astype(np.float64))
    assert_close(calls[3]["dgate"], dgate, ops=OPS, scale=np.abs(dgate) + np.abs(dy * up))


@pytest.mark.parametrize("shape", [(0, 5), (5, 0)])
def test_empty(emulator_for, shape):
    x, bias = np.zeros(shape, FLOAT32), np.zeros(shape[1], FLOAT32)
    emulator = emulator_for("plain", SOURCES)
    assert forward(emulator, "relu", x, bias)["y"].shape == shape
    result = backward(emulator, "relu", x, x, bias)
    np.testing.assert_array_equal(result["dbias"], np.zeros(shape[1]))


@pytest.mark.parametrize("bad", [{"rows": -1}, {"dtype": 9}, {"kind": 4}], ids=str)
def test_bad_arguments_are_refused(emulator_for, bad):
    x = np.zeros((2, 4), FLOAT32)
    args = {
        "x": x, "bias": None, "y": Out(x.shape, FLOAT32), "rows": 2, "n": 4, "x_row_stride": 4,
        "y_row_stride": 4, "kind": 0, "dtype": FLOAT32,
    }  # fmt: skip
    with pytest.raises(CudaError, match="error 1"):
        emulator_for("plain", SOURCES).call(
            "pyllm_cuda_activation_forward", "ActivationForward", **{**args, **bad}
        )
