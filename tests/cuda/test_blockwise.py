"""8-bit states through the emulator: the codes of the CPU."""

import numpy as np
import pytest

from pyllm import ops
from tests.cuda.emulator.build import KERNELS
from tests.cuda.emulator.client import ORDERS, CudaError, Out
from tests.cuda.optimizers import check_codes

SOURCES = [KERNELS / "blockwise.cu"]
signs = pytest.mark.parametrize("signed", [True, False])


def quantize(emulator, x, signed, **how):
    blocks = -(-x.size // 256)
    return emulator.call(
        "pyllm_cuda_blockwise_quantize", "BlockwiseQuantize", x=x, codes=Out(x.shape, np.uint8),
        scale=Out((blocks,), np.float32), n=x.size, is_signed=signed, **how,
    )  # fmt: skip


def dequantize(emulator, codes, scale, signed, **how):
    return emulator.call(
        "pyllm_cuda_blockwise_dequantize", "BlockwiseDequantize", codes=codes, scale=scale,
        x=Out(codes.shape, np.float32), n=codes.size, is_signed=signed, **how,
    )  # fmt: skip


def spread(rng, n, signed):
    """Magnitudes over nine decades."""
    x = 10.0 ** rng.uniform(-9, 0, n)
    return (x * rng.choice([-1, 1], n) if signed else x).astype(np.float32)


@signs
@pytest.mark.parametrize("n", [1, 7, 256, 257, 5000])
def test_codes_and_values(emulator_for, rng, n, signed):
    emulator = emulator_for("plain", SOURCES)
    x = spread(rng, n, signed) * np.float32(37)
    expected = ops.quantize_blockwise(x, signed=signed)
    got = quantize(emulator, x, signed)
    np.testing.assert_array_equal(got["scale"], expected.scale)
    check_codes(got["codes"], expected.codes, got["scale"], signed)
    back = dequantize(emulator, expected.codes, expected.scale, signed)["x"]
    values = ops.dequantize_blockwise(expected, signed=signed)
    np.testing.assert_allclose(back, values, rtol=1e-6, atol=1e-9)
    np.testing.assert_array_equal(back == 0, values == 0)


@signs
def test_every_code(emulator_for, signed):
    codes, scale = np.arange(256, dtype=np.uint8), np.array([-3.0], np.float32)
    got = dequantize(emulator_for("plain", SOURCES), codes, scale, signed)["x"]
    expected = ops.dequantize_blockwise(ops.Blockwise(codes, scale), signed=signed)
    np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-11)


def test_zeros_and_what_is_not_finite(emulator_for, rng):
    emulator = emulator_for("plain", SOURCES)
    x = rng.normal(size=1024).astype(np.float32)
    x[:256], x[300], x[600], x[1000] = 1e-40, np.nan, np.inf, -np.inf
    got = quantize(emulator, x, True)
    back = dequantize(emulator, got["codes"], got["scale"], True)["x"]
    np.testing.assert_array_equal(back[:256], 0)
    assert np.isnan(back[256:]).all()


@pytest.mark.parametrize("variant", ["asan", "tsan"])
@pytest.mark.parametrize("order", ORDERS)
def test_sanitized_in_every_order(emulator_for, rng, variant, order):
    emulator = emulator_for(variant, SOURCES)
    x = spread(rng, 700, True)
    want = quantize(emulator, x, True)
    got = quantize(emulator, x, True, order=order, order_seed=3)
    np.testing.assert_array_equal(got["codes"], want["codes"])
    dequantize(emulator, got["codes"], got["scale"], True, order=order, order_seed=3)


def test_each_element_moves_once(emulator_for, rng):
    emulator = emulator_for("plain", SOURCES)
    x = spread(rng, 4096, True)
    got = quantize(emulator, x, True, counted=True)
    (counts,) = got.kernels.values()
    assert counts["global_read_bytes"] == x.nbytes
    assert counts["global_write_bytes"] == 4096 + 16 * 4
    (counts,) = dequantize(
        emulator, got["codes"], got["scale"], True, counted=True
    ).kernels.values()
    assert counts["global_read_bytes"] == 4096 + 4096 // 8 * 4  # every lane asks for its scale
    assert counts["global_write_bytes"] == x.nbytes


def test_nothing_and_bad_sizes(emulator_for):
    emulator = emulator_for("plain", SOURCES)
    assert quantize(emulator, np.zeros(0, np.float32), True)["codes"].size == 0
    with pytest.raises(CudaError, match="error 1"):
        emulator.call(
            "pyllm_cuda_blockwise_quantize", "BlockwiseQuantize", x=None, codes=None, scale=None,
            n=-1, is_signed=1,
        )  # fmt: skip
