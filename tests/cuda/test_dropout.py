"""The CUDA dropout through the emulator: the elements that the shared Philox stream says."""

import ml_dtypes
import numpy as np
import pytest

from tests.cuda.emulator.build import KERNELS
from tests.cuda.emulator.client import ORDERS, CudaError, Out
from tests.reference import philox

SOURCES = [KERNELS / "dropout.cu"]
DTYPES = [np.dtype(np.float32), np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16)]
SEED, STREAM = 0x123456789ABCDEF0, 0xFEDCBA9876543210


def dropout(
    emulator, x, p, *, residual=None, seed=SEED, stream=STREAM, order="forward", counted=False
):
    return emulator.call(
        "pyllm_cuda_dropout", "Dropout",
        x=x, residual=residual, y=Out(x.shape, x.dtype), n=x.size, stream=stream, seed=seed,
        threshold=int(p * 2.0**32), scale=1 / (1 - p), dtype=x.dtype, order=order, counted=counted,
    )  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("n", [0, 1, 3, 4, 1023, 1024, 1029])
def test_drops_what_the_stream_says(emulator_for, rng, n, dtype):
    x = rng.standard_normal(n).astype(dtype)
    got = dropout(emulator_for("plain", SOURCES), x, 0.3)["y"]
    kept = philox.words(SEED, STREAM, n) >= int(0.3 * 2.0**32)
    scaled = (x.astype(np.float32) * np.float32(1 / 0.7)).astype(dtype)
    np.testing.assert_array_equal(got, np.where(kept, scaled, np.zeros(n, dtype)))


def test_known_answer_of_the_reference_implementation(emulator_for):
    """Random123's test vector for counter 0 and key 0, word by word, by bisection: whether an
    element is dropped says on which side of the threshold its word lies."""
    expected = [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    x = np.ones(4, np.float32)
    low, high = np.zeros(4, np.int64), np.full(4, 2**32, np.int64)
    for _ in range(32):
        middle = (low + high) // 2
        for lane in range(4):
            threshold = int(middle[lane]) / 2.0**32
            y = dropout(emulator_for("plain", SOURCES), x, threshold, seed=0, stream=0)["y"]
            if y[lane] == 0:
                high[lane] = middle[lane]
            else:
                low[lane] = middle[lane]
    np.testing.assert_array_equal(low, expected)


@pytest.mark.parametrize("variant", ["asan", "tsan"])
@pytest.mark.parametrize("order", ORDERS)
def test_sanitized_in_every_order(emulator_for, rng, variant, order):
    x = rng.standard_normal(1030).astype(np.float16)
    expected = dropout(emulator_for("plain", SOURCES), x, 0.5)["y"]
    got = dropout(emulator_for(variant, SOURCES), x, 0.5, order=order)["y"]
    np.testing.assert_array_equal(got, expected)


def test_each_element_moves_once(emulator_for, rng):
    x = rng.standard_normal(4096).astype(np.float32)
    (counts,) = dropout(emulator_for("plain", SOURCES), x, 0.1, counted=True).kernels.values()
    assert counts["global_read_bytes"] == counts["global_write_bytes"] == x.nbytes
    assert counts["sectors"] == counts["ideal_sectors"] == 2 * x.nbytes // 32


def test_bad_arguments_are_refused(emulator_for):
    with pytest.raises(CudaError, match="error 1"):
        dropout(emulator_for("plain", SOURCES), np.ones(4, np.float32), -0.5)
