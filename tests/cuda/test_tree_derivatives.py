"""Derivatives of losses through the emulator: those of the CPU, to the bit."""

import numpy as np
import pytest

from pyllm import _cpu
from tests.cuda.emulator.build import KERNELS
from tests.cuda.emulator.client import CudaError, Out

SOURCES = [KERNELS / "tree_derivatives.cu"]
LOSSES = {
    "squared": 0.0, "absolute": 0.0, "huber": 0.7, "quantile": 0.3, "poisson": 0.0, "gamma": 0.0,
    "tweedie": 1.3, "logistic": 0.0,
}  # fmt: skip


def run(emulator, name, margin, target, weight, **how):
    n = len(margin)
    args = {
        "margin": margin, "target": target, "weight": weight, "gradient": Out((n,), np.float32),
        "hessian": Out((n,), np.float32), "rows": n, "parameter": LOSSES[name],
        "loss": list(LOSSES).index(name),
    }  # fmt: skip
    return emulator.call("pyllm_cuda_tree_derivatives", "TreeDerivatives", **{**args, **how})


def problem(rng, n):
    """Margins of every size, some on their target, some where exponentials end."""
    margin = rng.normal(size=n) * 10.0 ** rng.integers(-3, 3, n)
    target = rng.integers(0, 2, n).astype(np.float64)
    margin[::7] = target[::7]
    margin[:4] = 800.0, -800.0, 40.0, 0.0
    return margin, target


@pytest.mark.parametrize(("variant", "n"), [("plain", 3000), ("asan", 300), ("tsan", 300)])
@pytest.mark.parametrize("weighted", [False, True], ids=["no weight", "weighted"])
@pytest.mark.parametrize("loss", LOSSES)
def test_losses_of_a_row(emulator_for, rng, loss, weighted, variant, n):
    margin, target = problem(rng, n)
    weight = rng.random(n) if weighted else None
    got = run(emulator_for(variant, SOURCES), loss, margin, target, weight)
    expected = [np.empty(n, np.float32) for _ in range(2)]
    _cpu.tree_row_gradient(loss, LOSSES[loss], margin, target, weight, *expected)
    np.testing.assert_array_equal(got["gradient"], expected[0])
    np.testing.assert_array_equal(got["hessian"], expected[1])


@pytest.mark.parametrize("variant", ["plain", "asan", "tsan"])
@pytest.mark.parametrize("classes", [2, 5])
def test_softmax(emulator_for, rng, variant, classes):
    n = 300
    margin = rng.normal(size=(classes, n)) * 10.0 ** rng.integers(-3, 3, n)
    target, weight = rng.integers(0, classes, n).astype(np.int32), rng.random(n)
    got = emulator_for(variant, SOURCES).call(
        "pyllm_cuda_tree_softmax_derivatives", "TreeSoftmaxDerivatives", margin=margin,
        target=target, weight=weight, gradient=Out((classes, n), np.float32),
        hessian=Out((classes, n), np.float32), rows=n, classes=classes,
    )  # fmt: skip
    expected = [np.empty((classes, n), np.float32) for _ in range(2)]
    _cpu.tree_softmax_gradient(margin, target, weight, *expected)
    np.testing.assert_array_equal(got["gradient"], expected[0])
    np.testing.assert_array_equal(got["hessian"], expected[1])


def test_a_target_that_is_no_class_makes_its_row_nan(emulator_for, rng):
    """Which growing refuses as it does any gradient that is not finite."""
    margin, target = rng.normal(size=(3, 6)), np.array([0, 3, 1, -1, 2, 2], np.int32)
    got = emulator_for("asan", SOURCES).call(
        "pyllm_cuda_tree_softmax_derivatives", "TreeSoftmaxDerivatives", margin=margin,
        target=target, weight=None, gradient=Out((3, 6), np.float32),
        hessian=Out((3, 6), np.float32), rows=6, classes=3,
    )  # fmt: skip
    expected = np.isin(np.arange(6), [1, 3])
    for name in ("gradient", "hessian"):
        np.testing.assert_array_equal(np.isnan(got[name]), np.broadcast_to(expected, (3, 6)))


def test_traffic(emulator_for, rng):
    margin, target = problem(rng, 1024)
    got = run(emulator_for("plain", SOURCES), "logistic", margin, target, None, counted=True)
    assert got.total("global_read_bytes") == 16 * 1024
    assert got.total("global_write_bytes") == 8 * 1024


@pytest.mark.parametrize("bad", [{"rows": -1}, {"loss": 8}, {"loss": -1}], ids=str)
def test_bad_arguments_are_refused(emulator_for, rng, bad):
    with pytest.raises(CudaError, match="error 1"):
        run(emulator_for("plain", SOURCES), "squared", *problem(rng, 30), None, **bad)
