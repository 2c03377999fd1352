"""Binning and the rounding of gradients through the emulator, equal to NumPy."""

import numpy as np
import pytest

from tests.cuda import trees_reference as reference
from tests.cuda.emulator.build import KERNELS
from tests.cuda.emulator.client import ORDERS, CudaError, Out
from tests.reference.philox import words

SOURCES = [KERNELS / "tree_bins.cu"]


def bin_values(emulator, x, cuts, wide=False, **how):
    rows, features = x.shape
    code = np.uint16 if wide else np.uint8
    strides = [s // x.itemsize for s in x.strides]
    args = {
        "x": x, "cuts": np.concatenate([*cuts, []]),
        "cut_offset": np.cumsum([0, *map(len, cuts)]), "by_row": Out((rows, features), code),
        "by_column": Out((features, rows), code),
        "missing": Out((features,), np.uint32, np.zeros(features)), "rows": rows,
        "features": features, "x_row_stride": strides[0], "x_column_stride": strides[1],
        "by_row_stride": features,
        "by_column_stride": rows, "x_float64": x.dtype == np.float64, "wide": wide,
    }  # fmt: skip
    return emulator.call("pyllm_cuda_tree_bins", "TreeBins", **{**args, **how})


def problem(rng, rows, features, most, dtype=np.float64):
    """Values on, beside and between cuts, some missing; no, one or many cuts a feature."""
    cuts = [np.unique(rng.normal(size=int(n))) for n in rng.integers(0, most, features)]
    x = rng.normal(size=(rows, features)).astype(dtype)
    for f, edges in enumerate(cuts):
        if len(edges):
            on = rng.random(rows) < 0.4
            x[on, f] = rng.choice(edges, on.sum())
    odd = rng.random(x.shape) < 0.15
    x[odd] = rng.choice([np.nan, np.inf, -np.inf], odd.sum())
    return x, cuts


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("wide", [False, True], ids=["narrow", "wide"])
@pytest.mark.parametrize(("rows", "features"), [(1, 1), (32, 32), (70, 45), (33, 3)])
def test_codes(emulator_for, rng, rows, features, wide, dtype):
    x, cuts = problem(rng, rows, features, 400 if wide else 254, dtype)
    got = bin_values(emulator_for("plain", SOURCES), x, cuts, wide)
    expected = reference.codes_of(x, cuts)
    np.testing.assert_array_equal(got["by_row"], expected)
    np.testing.assert_array_equal(got["by_column"], expected.T)
    np.testing.assert_array_equal(got["missing"], np.isnan(x).any(0))


@pytest.mark.parametrize("variant", ["asan", "tsan"])
@pytest.mark.parametrize("order", ORDERS)
def test_codes_sanitized(emulator_for, rng, variant, order):
    x, cuts = problem(rng, 40, 35, 20)
    got = bin_values(emulator_for(variant, SOURCES), x, cuts, order=order, order_seed=4)
    np.testing.assert_array_equal(got["by_column"], reference.codes_of(x, cuts).T)


def test_both_layouts_are_written_in_whole_sectors(emulator_for, rng):
    x, cuts = problem(rng, 64, 64, 2)
    (counts,) = bin_values(emulator_for("plain", SOURCES), x, cuts, counted=True).kernels.values()
    assert counts["global_write_bytes"] == 2 * x.size
    assert counts["wavefronts"] == counts["ideal_wavefronts"]


def gradients(
    emulator, gradient, hessian, rows=None, stochastic=0, seed=0, stream=0, wide=0, levels=0, **how
):
    """gradient, hessian: (rows,) or (rows, outputs)."""
    n, outputs = len(gradient), gradient.size // len(gradient)
    word = np.int64 if wide else np.int32
    return emulator.call(
        "pyllm_cuda_tree_gradients", "TreeGradients", gradient=gradient, hessian=hessian,
        rows=rows, quantized=Out((outputs, n, 2), word, np.zeros((outputs, n, 2), word)),
        largest=Out((2,), np.uint32), units=Out((2,), np.float64),
        totals=Out((outputs, 2), np.int64), sums=Out((4,), np.int64),
        count=n if rows is None else rows.size, all_rows=n, outputs=outputs,
        row_stride=outputs, output_stride=1, seed=seed, stream=stream,
        stochastic=stochastic, wide=wide, levels=levels, **how,
    )  # fmt: skip


@pytest.mark.parametrize("scale", [1.0, 1e-40, 3e30])
@pytest.mark.parametrize("count", [1, 3, 700, 9000])
def test_gradients_become_integers(emulator_for, rng, count, scale):
    with np.errstate(over="ignore"):
        gradient = (rng.normal(size=count) * scale).astype(np.float32)
    hessian = rng.random(count).astype(np.float32)
    got = gradients(emulator_for("plain", SOURCES), gradient, hessian)
    g, g_unit = reference.quantize(gradient, count)
    h, h_unit = reference.quantize(hessian, count)
    np.testing.assert_array_equal(got["quantized"][0], np.stack([g, h], 1))
    np.testing.assert_array_equal(got["units"], [g_unit, h_unit])
    magnitudes = [np.abs(g).sum(), np.abs(h).sum()]
    np.testing.assert_array_equal(got["sums"], [*magnitudes, h.min(), h.max()])
    np.testing.assert_array_equal(got["totals"][0], [g.sum(), h.sum()])
    # No 8,192 rows can overflow.
    assert np.abs(g).max() * min(count, 8192) < 2**31


def test_some_rows_take_part(emulator_for, rng):
    gradient, hessian = rng.normal(size=(2, 500)).astype(np.float32)
    gradient[7] = np.inf  # not among them
    rows = np.sort(rng.permutation(500)[:300]).astype(np.int32)
    rows = rows[rows != 7]
    got = gradients(emulator_for("plain", SOURCES), gradient, hessian, rows)
    g, _ = reference.quantize(gradient[rows], rows.size)
    np.testing.assert_array_equal(got["quantized"][0, rows, 0], g)
    assert not got["quantized"][0, 7].any()
    assert got["totals"][0, 0] == g.sum()


@pytest.mark.parametrize("wide", [0, 1])
def test_outputs_share_their_units(emulator_for, rng, wide):
    gradient, hessian = rng.normal(size=(2, 300, 3)).astype(np.float32)
    gradient[:, 1] *= 100
    got = gradients(emulator_for("plain", SOURCES), gradient, hessian, wide=wide)
    g, g_unit = reference.quantize(gradient, 300, wide)
    h, h_unit = reference.quantize(hessian, 300, wide)
    np.testing.assert_array_equal(got["quantized"], np.stack([g.T, h.T], -1))
    np.testing.assert_array_equal(got["units"], [g_unit, h_unit])
    np.testing.assert_array_equal(got["totals"], np.stack([g.sum(0), h.sum(0)], 1))
    np.testing.assert_array_equal(got["sums"][:2], [np.abs(g).sum(), np.abs(h).sum()])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_shows(emulator_for, bad):
    gradient, hessian = np.ones((2, 9), np.float32)
    hessian[4] = bad
    largest = gradients(emulator_for("plain", SOURCES), gradient, hessian)["largest"]
    assert largest[0] < 0x7F800000 <= largest[1]


def test_stochastic_rounding_is_philoxs(emulator_for, rng):
    gradient = rng.normal(size=600).astype(np.float32)
    hessian = rng.random(600).astype(np.float32)
    got = gradients(emulator_for("plain", SOURCES), gradient, hessian, None, 1, 11, 5)
    for k, values in enumerate((gradient, hessian)):
        _, unit = reference.quantize(values, 600)
        exact = values.astype(np.float64) / unit
        random = words(11, 5, 2 * 600)[k::2]
        expected = np.rint(exact + ((random + 0.5) * 2.0**-32 - 0.5))
        np.testing.assert_array_equal(got["quantized"][0, :, k], expected)


@pytest.mark.parametrize("variant", ["asan", "tsan"])
@pytest.mark.parametrize("order", ORDERS)
def test_gradients_sanitized(emulator_for, rng, variant, order):
    gradient, hessian = rng.normal(size=(2, 700)).astype(np.float32)
    expected = gradients(emulator_for("plain", SOURCES), gradient, hessian)
    got = gradients(emulator_for(variant, SOURCES), gradient, hessian, order=order, order_seed=4)
    for name, values in expected.outputs.items():
        np.testing.assert_array_equal(got[name], values)


@pytest.mark.parametrize("bad", [{"rows": -1}, {"features": -1}], ids=str)
def test_bad_arguments_are_refused(emulator_for, rng, bad):
    x, cuts = problem(rng, 3, 2, 5)
    with pytest.raises(CudaError, match="error 1"):
        bin_values(emulator_for("plain", SOURCES), x, cuts, **bad)
