"""The CUDA rotary embedding through the emulator, against the float64 reference."""

import ml_dtypes
import numpy as np
import pytest

from pyllm.ops import rotary_cache
from tests.cuda.emulator.build import KERNELS
from tests.cuda.emulator.client import ORDERS, CudaError, Out
from tests.reference.rotary import rotary as reference
from tests.tolerance import assert_close

SOURCES = [KERNELS / "rotary.cu"]
FLOAT32 = np.dtype(np.float32)
DTYPES = [FLOAT32, np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16)]
layouts = pytest.mark.parametrize("interleaved", [False, True])


def rotate(emulator, data, cos, sin, positions=None, *, interleaved=False, inverse=False, **how):
    """data (batch, seq, heads, dim), contiguous; `how` may give strides and other fields."""
    batch, seq, heads, dim = data.shape
    strides = [s // data.itemsize for s in data.strides[:3]]
    args = {
        "x": data, "y": Out(data.shape, data.dtype), "cos": cos, "sin": sin, "positions": positions,
        "batch": batch, "seq": seq, "heads": heads, "dim": dim, "half": cos.shape[1],
        "length": cos.shape[0], "x_batch_stride": strides[0], "x_seq_stride": strides[1],
        "x_head_stride": strides[2], "y_batch_stride": strides[0], "y_seq_stride": strides[1],
        "y_head_stride": strides[2], "table_row_stride": cos.shape[1],
        "position_batch_stride": seq if positions is not None and positions.ndim == 2 else 0,
        "position_seq_stride": 1, "interleaved": interleaved, "inverse": inverse,
        "dtype": data.dtype, "table_dtype": cos.dtype,
        "position_dtype": 3 if positions is not None and positions.dtype == np.int32 else 4,
    }  # fmt: skip
    return emulator.call("pyllm_cuda_rotary", "Rotary", **{**args, **how})


@layouts
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("dim", "half"), [(40, 0), (7, 1), (16, 8), (41, 19), (64, 32)])
def test_forward_and_backward(emulator_for, rng, dim, half, dtype, interleaved):
    emulator = emulator_for("plain", SOURCES)
    x = rng.normal(size=(2, 5, 3, dim)).astype(dtype)
    cos, sin = rotary_cache(20, 2 * half)
    for positions in (None, rng.integers(0, 20, 5), rng.integers(0, 20, (2, 5), np.int32)):
        y = rotate(emulator, x, cos, sin, positions, interleaved=interleaved)["y"]
        scale = 2 * np.abs(x.astype(np.float64)).max()
        assert_close(y, reference(x, cos, sin, positions, interleaved), ops=3, scale=scale)
        back = rotate(emulator, x, cos, sin, positions, interleaved=interleaved, inverse=True)["y"]
        assert_close(back, reference(x, cos, -sin, positions, interleaved), ops=3, scale=scale)


@layouts
def test_tables_of_the_storage_type(emulator_for, rng, interleaved):
    x = rng.normal(size=(1, 4, 2, 32)).astype(np.float16)
    cos, sin = rotary_cache(4, 32, dtype=np.float16)
    y = rotate(emulator_for("plain", SOURCES), x, cos, sin, interleaved=interleaved)["y"]
    assert_close(y, reference(x, cos, sin, None, interleaved), ops=3, scale=8)


@layouts
def test_strided_heads_in_place(emulator_for, rng, interleaved):
    """q and k turned where they lie in a packed (batch, seq, 3, heads, dim); v is not touched."""
    packed = rng.normal(size=(2, 3, 3, 2, 16)).astype(FLOAT32)
    cos, sin = rotary_cache(3, 16)
    expected = packed.copy()
    for part in range(2):
        expected[:, :, part] = reference(packed[:, :, part], cos, sin, None, interleaved)
    # q and k as one tensor of four heads.
    strides = {"batch_stride": 3 * 96, "seq_stride": 96, "head_stride": 16}
    fields = {f"{array}_{name}": value for array in "xy" for name, value in strides.items()}
    got = rotate(
        emulator_for("asan", SOURCES), packed[:, :, :2].reshape(2, 3, 4, 16), cos, sin,
        interleaved=interleaved, x=packed, y=Out(packed.shape, FLOAT32, packed), **fields,
    )["y"]  # fmt: skip
    assert_close(got, expected, ops=3, scale=8)
    np.testing.assert_array_equal(got[:, :, 2], packed[:, :, 2])


def test_odd_strides(emulator_for, rng):
    """Heads that start anywhere: no wide accesses."""
    stored = rng.normal(size=(1, 3, 2, 17)).astype(np.float16)
    x = np.ascontiguousarray(stored[..., :16])
    cos, sin = rotary_cache(3, 16)
    for interleaved in (False, True):
        if interleaved:  # pairs must still be aligned
            stored = np.concatenate([x, x[..., :2]], -1)
        step = stored.shape[-1]
        got = rotate(
            emulator_for("asan", SOURCES), x, cos, sin, interleaved=interleaved,
            x=stored, x_batch_stride=6 * step, x_seq_stride=2 * step, x_head_stride=step,
        )["y"]  # fmt: skip
        assert_close(got, reference(x, cos, sin, None, interleaved), ops=3, scale=8)


@layouts
def test_a_position_out_of_range_gives_nan(emulator_for, interleaved):
    x = np.ones((1, 4, 2, 10), FLOAT32)
    cos, sin = rotary_cache(3, 8)
    positions = np.array([2, -1, 3, 2**40])
    y = rotate(emulator_for("asan", SOURCES), x, cos, sin, positions, interleaved=interleaved)["y"]
    np.testing.assert_array_equal(np.isnan(y[0, 1:, :, :8]), True)
    np.testing.assert_array_equal(y[0, :, :, 8:], 1)
    assert not np.isnan(y[0, 0]).any()


@pytest.mark.parametrize("variant", ["asan", "tsan"])
@pytest.mark.parametrize("order", ORDERS)
def test_sanitized_in_every_order(emulator_for, rng, variant, order):
    emulator = emulator_for(variant, SOURCES)
    for interleaved in (False, True):
        x = rng.normal(size=(1, 3, 2, 22)).astype(FLOAT32)
        cos, sin = rotary_cache(3, 16)
        expected = rotate(emulator, x, cos, sin, interleaved=interleaved)["y"]
        got = rotate(emulator, x, cos, sin, interleaved=interleaved, order=order, order_seed=3)["y"]
        np.testing.assert_array_equal(got, expected)


@layouts
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_each_element_moves_once(emulator_for, rng, dtype, interleaved):
    """And each row of the tables once for all heads."""
    x = rng.normal(size=(2, 3, 4, 64)).astype(dtype)
    cos, sin = rotary_cache(3, 64)
    result = rotate(
        emulator_for("plain", SOURCES), x, cos, sin, interleaved=interleaved, counted=True
    )
    (counts,) = result.kernels.values()
    tables = 2 * (cos.nbytes + sin.nbytes)  # of both sequences
    assert counts["blocks"] == 6
    assert counts["global_read_bytes"] == x.nbytes + tables
    assert counts["global_write_bytes"] == x.nbytes
    assert counts["sectors"] == counts["ideal_sectors"] == (2 * x.nbytes + tables) // 32
    assert counts["barriers"] == 6


@pytest.mark.parametrize("shape", [(0, 3, 2, 8), (2, 0, 2, 8), (2, 3, 0, 8)])
def test_empty(emulator_for, shape):
    cos, sin = rotary_cache(3, 8)
    x = np.zeros(shape, FLOAT32)
    fields = {f"{a}_{n}_stride": 8 for a in "xy" for n in ("batch", "seq", "head")}
    assert rotate(emulator_for("plain", SOURCES), x, cos, sin, **fields)["y"].shape == shape


@pytest.mark.parametrize(
    "bad",
    [{"half": 9}, {"half": -1}, {"heads": -1}, {"dtype": 9}, {"table_dtype": 1}, {"length": -1}],
    ids=str,
)
def test_bad_arguments_are_refused(emulator_for, bad):
    cos, sin = rotary_cache(3, 8)
    with pytest.raises(CudaError, match="error 1"):
        rotate(emulator_for("plain", SOURCES), np.ones((1, 3, 2, 16), FLOAT32), cos, sin, **bad)
