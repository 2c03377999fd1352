"""The CUDA gradient norm and clipping factor through the emulator, against float64."""

import numpy as np
import pytest

from tests.cuda.emulator.build import KERNELS
from tests.cuda.emulator.client import ORDERS, CudaError, Out
from tests.cuda.optimizers import BFLOAT16, FLOAT16, FLOAT32

SOURCES = [KERNELS / "gradient_norm.cu"]
PART = 65536


def run(emulator, gradients, max_norm=1.0, **options):
    table = [{"grad": g, "n": g.size, "dtype": g.dtype} for g in gradients]
    parts = sum(-(-g.size // PART) for g in gradients)
    return emulator.call(
        "pyllm_cuda_gradient_norm", "GradientNorm", tensors=("GradientTensor", table),
        count=len(table), partial=Out((parts,), np.float64), norm=Out((1,), FLOAT32),
        scale=Out((1,), FLOAT32), max_norm=max_norm,
        sum_of_squares=Out((1,), np.float64), **options,
    )  # fmt: skip


def norm_of(gradients):
    return np.sqrt(sum((g.astype(np.float64) ** 2).sum() for g in gradients))


@pytest.mark.parametrize("max_norm", [0.5, 1e6])
def test_norm_and_scale(emulator_for, rng, max_norm):
    """Tensors of all types and of any size, one of them more than a part; a second table."""
    sizes = [1, 0, 7, PART + 5, 1000] + [3] * 130
    dtypes = [FLOAT32, FLOAT16, BFLOAT16]
    gradients = [rng.standard_normal(n).astype(dtypes[i % 3]) for i, n in enumerate(sizes)]
    got = run(emulator_for("plain", SOURCES), gradients, max_norm)
    norm = norm_of(gradients)
    np.testing.assert_allclose(got["norm"], norm, rtol=1e-6)
    np.testing.assert_allclose(got["sum_of_squares"], norm**2, rtol=1e-6)
    expected = max_norm / (norm + 1e-6) if norm > max_norm else 1.0
    np.testing.assert_allclose(got["scale"], expected, rtol=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_shows(emulator_for, bad):
    gradient = np.ones(100, np.float32)
    gradient[70] = bad
    got = run(emulator_for("plain", SOURCES), [gradient])
    assert not np.isfinite(got["norm"]).any()
    assert got["scale"] == (1 if np.isnan(bad) else 0)


@pytest.mark.parametrize("variant", ["asan", "tsan"])
@pytest.mark.parametrize("order", ORDERS)
def test_sanitized_in_every_order(emulator_for, rng, variant, order):
    gradients = [rng.standard_normal(n).astype(np.float32) for n in (3, 2000)]
    expected = run(emulator_for(variant, SOURCES), gradients)
    got = run(emulator_for(variant, SOURCES), gradients, order=order, order_seed=5)
    np.testing.assert_array_equal(got["norm"], expected["norm"])


def test_gradients_are_read_once(emulator_for, rng):
    gradients = [rng.standard_normal(n).astype(BFLOAT16) for n in (4096, PART + 512)]
    kernels = run(emulator_for("plain", SOURCES), gradients, counted=True).kernels
    parts, total = kernels.values()
    read = sum(g.nbytes for g in gradients)
    assert parts["blocks"] == 3
    assert parts["global_read_bytes"] == read
    assert parts["sectors"] == read // 32 + 3
    assert parts["global_write_bytes"] == total["global_read_bytes"] == 3 * 8


def test_no_gradients(emulator_for):
    got = run(emulator_for("plain", SOURCES), [np.zeros(0, np.float32)])
    assert got["norm"] == 0
    assert got["scale"] == 1


@pytest.mark.parametrize("max_norm", [0.0, np.nan])
def test_bad_arguments_are_refused(emulator_for, max_norm):
    with pytest.raises(CudaError, match="error 1"):
        run(emulator_for("plain", SOURCES), [np.ones(3, np.float32)], max_norm)
