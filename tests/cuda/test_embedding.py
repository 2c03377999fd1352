"""The CUDA embedding and its scatter-add through the emulator."""

import ml_dtypes
import numpy as np
import pytest

from tests.cuda.emulator.build import KERNELS
from tests.cuda.emulator.client import ORDERS, CudaError, Out
from tests.tolerance import assert_close

SOURCES = [KERNELS / "embedding.cu", KERNELS / "indices.cu"]
FLOAT32 = np.dtype(np.float32)
DTYPES = [FLOAT32, np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16)]
TILE, SORT_TILE = 32, 2048


def index_code(ids):
    return 3 if ids.dtype == np.int32 else 4


def forward(emulator, ids, weight, **how):
    rows, (entries, width) = ids.size, weight.shape
    return emulator.call(
        "pyllm_cuda_embedding_forward", "EmbeddingForward", ids=ids, weight=weight,
        y=Out((rows, width), weight.dtype), rows=rows, entries=entries, width=width,
        y_row_stride=width, dtype=weight.dtype, id_dtype=index_code(ids), **how,
    )  # fmt: skip


def backward(emulator, grad, ids, entries, *, padding=-1, dweight=None, accumulate=0, **how):
    rows, width = grad.shape
    if dweight is None:
        dweight = Out((entries, width), grad.dtype)
    return emulator.call(
        "pyllm_cuda_embedding_backward", "EmbeddingBackward", grad=grad, ids=ids, dweight=dweight,
        keys=Out((2, rows), np.uint32), numbers=Out((2, rows), np.uint32),
        counts=Out((256, -(-rows // SORT_TILE)), np.int32), starts=Out((entries + 1,), np.uint32),
        partial=Out((-(-rows // TILE), 2, width), FLOAT32), rows=rows, entries=entries,
        width=width, grad_row_stride=width, padding=padding, accumulate=accumulate,
        dtype=grad.dtype, dweight_dtype=np.dtype(dweight.dtype), id_dtype=index_code(ids), **how,
    )  # fmt: skip


def check(got, grad, ids, start=0.0, counts=slice(None)):
    """Against np.add.at in float64; errors scale with the terms of a sum."""
    grad = grad.astype(np.float64)
    expected, scale = np.zeros(got.shape) + start, np.zeros(got.shape) + np.abs(start)
    np.add.at(expected, ids[counts], grad[counts])
    np.add.at(scale, ids[counts], np.abs(grad[counts]))
    assert_close(got, expected, ops=4 + np.sqrt(ids.size), scale=scale)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("id_dtype", [np.int32, np.int64])
@pytest.mark.parametrize("width", [1, 7, 40, 264])
def test_forward(emulator_for, rng, width, id_dtype, dtype):
    weight = rng.normal(size=(11, width)).astype(dtype)
    ids = rng.integers(0, 11, 50).astype(id_dtype)
    got = forward(emulator_for("plain", SOURCES), ids, weight)["y"]
    assert got.tobytes() == weight[ids].tobytes()


# One id in all; few rows an id; ids that cross many tiles; more than one tile of the sort; ids of
# more than eight bits, for two passes, and of more than sixteen.
CASES = [(1, 5), (30, 40), (3, 200), (40, 2100), (300, 500), (70_000, 40)]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("width", [3, 16])
@pytest.mark.parametrize(("entries", "rows"), CASES)
def test_backward(emulator_for, rng, entries, rows, width, dtype):
    if entries > 1000 and width > 3:
        width = 1  # the emulator has a block for each entry
    ids = rng.integers(0, entries, rows)
    grad = rng.normal(size=(rows, width)).astype(dtype)
    got = backward(emulator_for("plain", SOURCES), grad, ids, entries)
    check(got["dweight"], grad, ids)
    # The sort is stable: ids ascend, and the rows of one id too.
    order = np.lexsort((np.arange(rows), ids))
    half = (int(entries).bit_length() + 7) // 8 % 2
    np.testing.assert_array_equal(got["numbers"][half], order)
    np.testing.assert_array_equal(got["keys"][half], ids[order])


def test_one_frequent_id(emulator_for, rng):
    """Its sum comes from the partial sums of many tiles."""
    ids = np.where(rng.random(700) < 0.9, 4, rng.integers(0, 9, 700))
    grad = rng.normal(size=(700, 12)).astype(FLOAT32)
    check(backward(emulator_for("plain", SOURCES), grad, ids, 9)["dweight"], grad, ids)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_accumulates_into_float32(emulator_for, rng, dtype):
    ids = rng.integers(0, 5, 150).astype(np.int32)
    grad = rng.normal(size=(150, 8)).astype(dtype)
    start = rng.normal(size=(7, 8)).astype(FLOAT32)
    got = backward(
        emulator_for("plain", SOURCES), grad, ids, 7, dweight=Out((7, 8), FLOAT32, start),
        accumulate=1,
    )["dweight"]  # fmt: skip
    check(got, grad, ids, start)
    np.testing.assert_array_equal(got[5:], start[5:])


def test_padding_and_bad_ids_count_for_nothing(emulator_for, rng):
    emulator = emulator_for("asan", SOURCES)
    ids = np.array([0, 1, 2, 1, 9, 0, -1, 2**33])
    grad = rng.normal(size=(8, 4)).astype(FLOAT32)
    got = backward(emulator, grad, ids, 3, padding=0)["dweight"]
    check(got, grad, ids, counts=[1, 2, 3])
    y = forward(emulator, ids, np.ones((3, 5), FLOAT32))["y"]
    np.testing.assert_array_equal(np.isnan(y).all(1), [0, 0, 0, 0, 1, 0, 1, 1])


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_the_first_bad_index_is_named(emulator_for, dtype):
    for bad in ([], [700], [3, 700], [0]):
        ids = np.arange(1000, dtype=dtype) % 7
        ids[bad] = [7, -1][: len(bad)]
        got = emulator_for("plain", SOURCES).call(
            "pyllm_cuda_check_indices", "IndexCheck", indices=ids, first_bad=Out((1,), np.int64),
            n=1000, limit=7, index_dtype=index_code(ids),
        )  # fmt: skip
        assert got["first_bad"] == (bad[0] if bad else -1)


@pytest.mark.parametrize("variant", ["asan", "tsan"])
@pytest.mark.parametrize("order", ORDERS)
def test_sanitized_in_every_order(emulator_for, rng, variant, order):
    """The sums are the same to the bit in every order of threads."""
    emulator = emulator_for(variant, SOURCES)
    ids = rng.integers(0, 5, 300) ** 2
    grad = rng.normal(size=(300, 6)).astype(FLOAT32)
    expected = backward(emulator, grad, ids, 30)
    got = backward(emulator, grad, ids, 30, order=order, order_seed=11)
    np.testing.assert_array_equal(got["dweight"], expected["dweight"])
    forward(emulator, ids, grad, order=order, order_seed=11)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_forward_moves_each_row_once(emulator_for, rng, dtype):
    weight, ids = rng.normal(size=(9, 128)).astype(dtype), rng.integers(0, 9, 20)
    got = forward(emulator_for("plain", SOURCES), ids, weight, counted=True)
    (counts,) = got.kernels.values()
    moved = got["y"].nbytes
    assert counts["global_read_bytes"] == moved + 20 * 32 * 8  # every lane asks for its row's id
    assert counts["global_write_bytes"] == moved
    assert counts["sectors"] == counts["ideal_sectors"] == 2 * moved // 32 + 20


def test_backward_reads_gradients_once_and_writes_the_table_once(emulator_for, rng):
    rows, entries, width = 96, 20, 128
    ids = np.sort(rng.integers(0, 10, rows))
    grad = rng.normal(size=(rows, width)).astype(FLOAT32)
    kernels = backward(
        emulator_for("plain", SOURCES), grad, ids, entries, counted=True
    ).kernels  # fmt: skip
    tiles = next(v for k, v in kernels.items() if "tiles" in k)
    rest = next(v for k, v in kernels.items() if "rest" in k)
    threads = 3 * width // 4
    flushes = sum(len(set(ids[t : t + TILE])) for t in range(0, rows, TILE))
    crossing = [i for i in set(ids) if len({r // TILE for r in np.flatnonzero(ids == i)}) > 1]
    pieces = sum(len({r // TILE for r in np.flatnonzero(ids == i)}) for i in crossing)
    # Beside the gradient: how many rows count, the first id, each row's id and number, two starts.
    asked = 4 * threads * 2 + 8 * rows * width // 4 + 8 * flushes * width // 4
    assert tiles["global_read_bytes"] == grad.nbytes + asked
    row_bytes = width * 4
    assert tiles["global_write_bytes"] == flushes * row_bytes
    assert rest["global_read_bytes"] == entries * (width // 4) * 8 + pieces * row_bytes
    written = tiles["global_write_bytes"] - pieces * row_bytes + rest["global_write_bytes"]
    assert written == entries * row_bytes
    assert tiles["atomics"] == rest["atomics"] == 0


@pytest.mark.parametrize(("rows", "entries", "width"), [(0, 3, 4), (3, 0, 4), (3, 3, 0)])
def test_empty(emulator_for, rows, entries, width):
    ids, grad = np.zeros(rows, np.int64), np.ones((rows, width), FLOAT32)
    got = backward(emulator_for("plain", SOURCES), grad, ids, entries)["dweight"]
    if rows == 0:
        np.testing.assert_array_equal(got, np.zeros((entries, width)))


@pytest.mark.parametrize(
    "bad", [{"rows": -1}, {"entries": -1}, {"dtype": 9}, {"id_dtype": 0}, {"width": 2**40}], ids=str
)
def test_bad_arguments_are_refused(emulator_for, bad):
    args = {
        "ids": np.zeros(2, np.int64), "weight": np.ones((3, 4), FLOAT32), "y": Out((2, 4), FLOAT32),
        "rows": 2, "entries": 3, "width": 4, "y_row_stride": 4, "dtype": FLOAT32, "id_dtype": 4,
    }  # fmt: skip
    with pytest.raises(CudaError, match="error 1"):
        emulator_for("plain", SOURCES).call(
            "pyllm_cuda_embedding_forward", "EmbeddingForward", **{**args, **bad}
        )
