"""Which lane and register holds which matrix element, against the formulae of the PTX ISA.

The formulae are those of "Matrix Fragments for mma.m16n8k16 with floating point type" and of
"ldmatrix" in the PTX ISA (version 9.2, section 9.7.14.5), written down here from the text and not
from the emulator: every element of every operand is set alone, and must have exactly the effect it
has in the matrix product.
"""

import ml_dtypes
import numpy as np
import pytest

from tests.cuda.conftest import PLANTED
from tests.cuda.emulator.client import Out

DTYPES = [np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16)]


def a_place(lane, i):
    """Row and column of a_i, i = 0..7, of a lane."""
    group_id, thread_in_group = lane >> 2, lane % 4
    row = group_id if 0 <= i < 2 or 4 <= i < 6 else group_id + 8
    column = thread_in_group * 2 + (i & 1) + (0 if i < 4 else 8)
    return row, column


def b_place(lane, i):
    """Row and column of b_i, i = 0..3."""
    group_id, thread_in_group = lane >> 2, lane % 4
    return thread_in_group * 2 + (i & 1) + (0 if i < 2 else 8), group_id


def c_place(lane, i):
    """Row and column of c_i or d_i, i = 0..3."""
    group_id, thread_in_group = lane >> 2, lane % 4
    return group_id if i < 2 else group_id + 8, thread_in_group * 2 + (i & 1)


def spread(matrix, place, count):
    """A matrix as the lanes' registers hold it."""
    return np.array(
        [[matrix[place(lane, i)] for i in range(count)] for lane in range(32)], np.float32
    )


def emulated_product(emulator, a, b, dtype):
    result = emulator.call(
        "fragment_mma",
        "FragmentArgs",
        a=spread(a, a_place, 8),
        b=spread(b, b_place, 4),
        d=Out((32, 4), np.float32),
        dtype=dtype,
    )
    d = np.empty((16, 8))
    for lane in range(32):
        for i in range(4):
            d[c_place(lane, i)] = result["d"][lane, i]
    return d


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_mma_element_by_element_of_a(emulator_for, dtype):
    emulator = emulator_for("plain", [PLANTED / "fragments.cu"])
    b = np.arange(1, 129, dtype=np.float64).reshape(16, 8)  # exact in both types
    for row in range(16):
        for column in range(16):
            a = np.zeros((16, 16))
            a[row, column] = 2
            np.testing.assert_array_equal(emulated_product(emulator, a, b, dtype), a @ b)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_mma_element_by_element_of_b(emulator_for, dtype):
    emulator = emulator_for("plain", [PLANTED / "fragments.cu"])
    a = np.arange(1, 257, dtype=np.float64).reshape(16, 16)
    for row in range(16):
        for column in range(8):
            b = np.zeros((16, 8))
            b[row, column] = -1
            np.testing.assert_array_equal(emulated_product(emulator, a, b, dtype), a @ b)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_mma_of_small_integers_is_exact(emulator_for, dtype, rng):
    emulator = emulator_for("plain", [PLANTED / "fragments.cu"])
    a = rng.integers(-8, 9, (16, 16)).astype(np.float64)
    b = rng.integers(-8, 9, (16, 8)).astype(np.float64)
    np.testing.assert_array_equal(emulated_product(emulator, a, b, dtype), a @ b)


@pytest.mark.parametrize("transpose", [0, 1])
def test_ldmatrix_element_by_element(emulator_for, transpose):
    """Register m of a lane holds, low half first, (row, column) and (row, column + 1) of tile m
    with row = lane / 4 and column = 2 (lane % 4); of its transpose with .trans. Lanes 8m to 8m + 7
    give the addresses of the rows of tile m."""
    emulator = emulator_for("plain", [PLANTED / "fragments.cu"])
    tiles = np.arange(256, dtype=np.uint16).reshape(4, 8, 8)  # each element its own number
    result = emulator.call(
        "fragment_ldmatrix",
        "TileArgs",
        tiles=tiles.view(np.float32),
        registers=Out((32, 4), np.float32),
        transpose=transpose,
    )
    halves = result["registers"].view(np.uint16).reshape(32, 4, 2)
    for lane in range(32):
        row, column = lane // 4, 2 * (lane % 4)
        for m in range(4):
            tile = tiles[m].T if transpose else tiles[m]
            assert halves[lane, m, 0] == tile[row, column]
            assert halves[lane, m, 1] == tile[row, column + 1]
