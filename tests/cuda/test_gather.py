"""Rows by number on the device: out of a table and into it, of any element, each moved once."""

import numpy as np
import pytest

from tests.cuda.emulator.build import KERNELS
from tests.cuda.emulator.client import ORDERS, CudaError, Out, inout

SOURCES = [KERNELS / "gather.cu"]
DTYPES = [np.uint8, np.float16, np.float32, np.float64]


def gather(emulator, table, numbers, **options):
    rows, (entries, width) = numbers.size, table.shape
    return emulator.call(
        "pyllm_cuda_rows_by_number", "RowsByNumber", **{"from": table},
        to=Out((rows, width), table.dtype), numbers=numbers, rows=rows, entries=entries,
        width=width, item=table.itemsize, scatter=False, **options,
    )  # fmt: skip


def scatter(emulator, table, numbers, values, **options):
    rows, (entries, width) = numbers.size, table.shape
    return emulator.call(
        "pyllm_cuda_rows_by_number", "RowsByNumber", **{"from": values}, to=inout(table),
        numbers=numbers, rows=rows, entries=entries, width=width, item=table.itemsize,
        scatter=True, **options,
    )  # fmt: skip


@pytest.mark.parametrize("variant", ["plain", "asan", "tsan"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("width", [1, 2, 7, 12, 48])
def test_values(emulator_for, rng, variant, dtype, width):
    """Rows of whole pieces of every size; numbers out of range give zeros and change nothing."""
    emulator = emulator_for(variant, SOURCES)
    table, values = ((rng.normal(size=(n, width)) * 10).astype(dtype) for n in (9, 40))
    numbers = rng.integers(0, 9, 40)
    numbers[[3, 17]] = -1, 9
    inside = (numbers >= 0) & (numbers < 9)
    expected = np.where(inside[:, None], table[np.where(inside, numbers, 0)], 0)
    np.testing.assert_array_equal(gather(emulator, table, numbers)["to"], expected)
    distinct = np.array([8, 9, 0, -1, 5])
    got = scatter(emulator, table, distinct, values[:5].copy())["to"]
    expected = table.copy()
    expected[[8, 0, 5]] = values[[0, 2, 4]]
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("order", ORDERS)
def test_order_of_threads(emulator_for, rng, order):
    table, numbers = rng.normal(size=(300, 3)).astype(np.float32), rng.permutation(300)
    emulator = emulator_for("plain", SOURCES)
    moved = gather(emulator, table, numbers, order=order)["to"]
    np.testing.assert_array_equal(
        scatter(emulator, table, numbers, moved, order=order)["to"], table
    )


@pytest.mark.parametrize("dtype", DTYPES)
def test_each_element_moves_once_in_pieces_of_16_bytes(emulator_for, rng, dtype):
    table = rng.normal(size=(8, 4096 // np.dtype(dtype).itemsize)).astype(dtype)
    result = gather(emulator_for("plain", SOURCES), table, np.arange(8)[::-1].copy(), counted=True)
    (counts,) = result.kernels.values()
    assert counts["global_write_bytes"] == table.nbytes
    assert counts["global_read_bytes"] == table.nbytes + table.nbytes // 16 * 8  # and its number
    assert counts["blocks"] == table.nbytes // 4096


def test_what_it_refuses(emulator_for):
    emulator, table = emulator_for("plain", SOURCES), np.ones((2, 3), np.complex128)
    with pytest.raises(CudaError, match="error 1"):
        gather(emulator, table, np.zeros(1, np.int64))
    nothing = gather(emulator, np.ones((0, 3), np.float32), np.zeros(0, np.int64))
    assert nothing["to"].shape == (0, 3)
