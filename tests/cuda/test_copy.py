"""Strided copies on the device: layouts, masks, fills, element sizes; each element moves once."""

import numpy as np
import pytest

from tests.cuda.emulator.build import KERNELS
from tests.cuda.emulator.client import CudaError, Out, inout

SOURCES = [KERNELS / "copy.cu"]


def copy(emulator, shape, x, from_strides, *, mask=None, mask_strides=(), fill=0, **options):
    """x read through `from_strides` into a fresh row-major array."""
    strides = [int(np.prod(shape[i + 1 :])) for i in range(len(shape))]

    def eight(values):
        return (*values, *[0] * (8 - len(values)))

    return emulator.call(
        "pyllm_cuda_strided_copy", "StridedCopy",
        **{"from": x}, mask=mask, to=Out(shape, x.dtype if x is not None else np.float32),
        shape=eight(shape), from_strides=eight(from_strides), mask_strides=eight(mask_strides),
        to_strides=eight(strides), fill=fill, ndim=len(shape), keep=False,
        item=4 if x is None else x.itemsize, **options,
    )  # fmt: skip


@pytest.mark.parametrize("variant", ["plain", "asan", "tsan"])
@pytest.mark.parametrize("dtype", [np.uint8, np.float16, np.float32, np.float64])
def test_transpose_and_repeat(emulator_for, rng, variant, dtype):
    x = (rng.normal(size=(5, 7)) * 10).astype(dtype)
    got = copy(emulator_for(variant, SOURCES), (7, 5), x, (1, 7))["to"]
    np.testing.assert_array_equal(got, x.T)
    row = x[0].copy()
    got = copy(emulator_for(variant, SOURCES), (3, 1, 7), row, (0, 0, 1))["to"]
    np.testing.assert_array_equal(got, np.broadcast_to(row, (3, 1, 7)))


def test_mask_and_fill(emulator_for, rng):
    x = rng.normal(size=(4, 6)).astype(np.float32)
    mask = rng.random(6) < 0.5
    emulator = emulator_for("plain", SOURCES)
    minus = int(np.float32(-np.inf).view(np.uint32))
    got = copy(emulator, (4, 6), x, (6, 1), mask=mask.view(np.uint8), mask_strides=(0, 1),
               fill=minus)["to"]  # fmt: skip
    np.testing.assert_array_equal(got, np.where(mask, x, -np.inf))
    one = int(np.float32(1).view(np.uint32))
    np.testing.assert_array_equal(
        copy(emulator, (3, 2), None, (2, 1), fill=one)["to"], np.ones((3, 2))
    )


@pytest.mark.parametrize("variant", ["asan", "tsan"])
@pytest.mark.parametrize("dtype", [np.uint8, np.float16, np.float32, np.float64])
def test_what_a_mask_leaves_as_it_is(emulator_for, rng, variant, dtype):
    x, to = ((rng.normal(size=(5, 8)) * 10).astype(dtype) for _ in range(2))
    mask = rng.random((5, 1)) < 0.5
    got = emulator_for(variant, SOURCES).call(
        "pyllm_cuda_strided_copy", "StridedCopy", **{"from": x}, to=inout(to),
        mask=mask.view(np.uint8), shape=(5, 8, *[0] * 6), from_strides=(8, 1, *[0] * 6),
        mask_strides=(1, *[0] * 7), to_strides=(8, 1, *[0] * 6), fill=0, ndim=2,
        item=x.itemsize, keep=True,
    )["to"]  # fmt: skip
    np.testing.assert_array_equal(got, np.where(mask, x, to))


@pytest.mark.parametrize("n", [2, 5, 8, 12, 32])
@pytest.mark.parametrize("dtype", [np.uint8, np.float16, np.float32, np.float64])
def test_neighbours_are_taken_together(emulator_for, rng, dtype, n):
    """Padded rows to dense ones, and fills, in the widest elements that divide rows and strides."""
    x = (rng.normal(size=(3, 48)) * 10).astype(dtype)
    emulator = emulator_for("asan", SOURCES)
    got = copy(emulator, (3, n), x, (48, 1), counted=True)
    np.testing.assert_array_equal(got["to"], x[:, :n])
    (counts,) = got.kernels.values()
    assert counts["global_read_bytes"] == counts["global_write_bytes"] == 3 * n * x.itemsize
    together = max(w for w in (1, 2, 4, 8, 16) if n % w == 0 and w * x.itemsize <= 16)
    many = copy(emulator, (512, n), x[0, :n].copy(), (0, 1), counted=True)
    np.testing.assert_array_equal(many["to"], np.broadcast_to(x[0, :n], (512, n)))
    (counts,) = many.kernels.values()
    assert counts["blocks"] == 512 * n // together // 256


@pytest.mark.parametrize("n", [3, 4, 8])
def test_a_fill_of_every_width(emulator_for, n):
    emulator = emulator_for("asan", SOURCES)
    bits = int(np.float32(-2.5).view(np.uint32))
    got = copy(emulator, (2, n), None, (0, 0), fill=bits)["to"]
    np.testing.assert_array_equal(got, np.full((2, n), -2.5))


def test_each_element_moves_once(emulator_for, rng):
    x = rng.normal(size=(64, 64)).astype(np.float32)
    kernels = copy(emulator_for("plain", SOURCES), (64, 64), x, (1, 64), counted=True).kernels
    (counts,) = kernels.values()
    assert counts["global_read_bytes"] == counts["global_write_bytes"] == x.nbytes


def test_what_it_refuses(emulator_for):
    emulator = emulator_for("plain", SOURCES)
    with pytest.raises(CudaError):
        copy(emulator, (4,), np.ones(4, np.complex128), (1,))
    assert copy(emulator, (0, 3), np.ones(4, np.float32), (1, 1))["to"].shape == (0, 3)
