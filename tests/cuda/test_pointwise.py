"""The CUDA pointwise functions and casts: values, layouts, non-finite numbers, traffic."""

import ml_dtypes
import numpy as np
import pytest

from tests.cuda.emulator.build import KERNELS
from tests.cuda.emulator.client import DTYPE_CODES, ORDERS, CudaError, Out, inout

SOURCES = [KERNELS / "pointwise.cu"]
DTYPES = [np.dtype(np.float32), np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16)]
BOOL = np.dtype(bool)
CODES = {**DTYPE_CODES, np.dtype(np.int32): 3, np.dtype(np.int64): 4, BOOL: 5}


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


UNARY = [np.negative, np.absolute, np.sign, np.sqrt, np.exp, np.log, np.sin, np.cos, np.tanh,
         sigmoid]  # fmt: skip
BINARY = [np.add, np.subtract, np.multiply, np.divide, np.maximum, np.minimum, np.power]
COMPARISONS = [np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal]
NUMBERS = {f: n for n, f in enumerate([*UNARY, *BINARY, *COMPARISONS])}
SPECIAL = [0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 88.0, -88.0, 3e-39]


def eight(values):
    return (*values, *[0] * (8 - len(values)))


def elements(array):
    return eight([s // array.itemsize for s in array.strides])


def row_major(shape):
    return eight([int(np.prod(shape[i + 1 :])) for i in range(len(shape))])


def pointwise(emulator, op, *operands, dtype, order="forward", counted=False):
    """The operands are views; each is given by its whole memory and its strides."""
    shape = np.broadcast_shapes(*(x.shape for x in operands))
    a, b = (operands[0], None) if len(operands) == 1 else operands
    strides = [(0,) * 8 if x is None else elements(np.broadcast_to(x, shape)) for x in (a, b)]
    memory = [None if x is None else (x if x.base is None else x.base) for x in (a, b)]
    result = np.uint8 if op in COMPARISONS else dtype
    return emulator.call(
        "pyllm_cuda_pointwise", "Pointwise",
        a=memory[0], b=memory[1], y=Out(shape, result), shape=eight(shape),
        a_strides=strides[0], b_strides=strides[1], y_strides=row_major(shape),
        ndim=len(shape), op=NUMBERS[op], dtype=CODES[np.dtype(dtype)], order=order,
        counted=counted,
    )  # fmt: skip


def expected(op, *operands, dtype):
    with np.errstate(all="ignore"):
        y = op(*(x.astype(np.float64) for x in operands))
        return y if op in COMPARISONS else y.astype(np.float32).astype(dtype)


def tolerance(dtype):
    """Four units in the last place of what functions of the C library give, one of storage."""
    return {"rtol": max(4 * 2.0**-23, float(ml_dtypes.finfo(dtype).eps)), "atol": 1e-37}


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("op", UNARY, ids=lambda f: f.__name__)
def test_unary(emulator_for, rng, op, dtype):
    x = np.concatenate([SPECIAL, 3 * rng.normal(size=300)]).astype(dtype)
    got = pointwise(emulator_for("plain", SOURCES), op, x, dtype=dtype)["y"]
    np.testing.assert_allclose(
        got.astype(np.float64),
        expected(op, x, dtype=dtype).astype(np.float64),
        **tolerance(dtype) if dtype != np.float16 else {"rtol": 2.0**-10, "atol": 2.0**-24},
    )


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("op", [*BINARY, *COMPARISONS], ids=lambda f: f.__name__)
def test_binary_of_every_pair_of_special_values(emulator_for, op, dtype):
    x = np.array([*SPECIAL, 2.5], dtype)
    got = pointwise(emulator_for("plain", SOURCES), op, x[:, None].copy(), x, dtype=dtype)["y"]
    want = expected(op, x[:, None], x, dtype=dtype)
    np.testing.assert_allclose(
        got.astype(np.float64),
        want.astype(np.float64),
        **tolerance(dtype) if dtype != np.float16 else {"rtol": 2.0**-10, "atol": 2.0**-24},
    )


def test_layouts(emulator_for, rng):
    emulator = emulator_for("plain", SOURCES)
    a = rng.normal(size=(3, 4, 5)).astype(np.float32)
    b = rng.normal(size=(5, 1, 3)).astype(np.float32)
    for x, y in [
        (a.transpose(2, 1, 0), b),
        (a.transpose(1, 2, 0), b[:, 0]),
        (a, a[0].copy()),
        (a[:, :1], a),
        (a[:, ::2], a[0, 0].copy()),
        (a, np.array(2, np.float32)),
    ]:
        got = pointwise(emulator, np.subtract, x, y, dtype=np.float32)["y"]
        np.testing.assert_array_equal(got, x - y)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("n", [1, 3, 4, 7, 8, 9, 15, 16, 40, 2051])
def test_pieces_of_16_bytes_and_what_is_left(emulator_for, rng, n, dtype):
    """Rows of whole pieces, rows with a rest, and operands that are one element for a whole row."""
    emulator = emulator_for("asan", SOURCES)
    x, y = (rng.normal(size=(3, n)).astype(dtype) for _ in range(2))
    padded = np.ones((3, 48 + n // 16 * 16), dtype)
    inner, single = padded[:, :n], padded[0, :1].copy()
    for op, operands in [
        (np.add, (x, y)),
        (np.add, (x, y[0].copy())),
        (np.add, (single, x)),
        (np.add, (x[:, :1].copy(), inner)),
        (np.less, (x, y[:, :1].copy())),
        (np.less, (inner, x)),
        (np.negative, (x,)),
        (np.negative, (inner,)),
    ]:
        got = pointwise(emulator, op, *operands, dtype=dtype)["y"]
        np.testing.assert_array_equal(got, expected(op, *operands, dtype=dtype))


@pytest.mark.parametrize("variant", ["asan", "tsan"])
@pytest.mark.parametrize("order", ORDERS)
def test_sanitized_in_every_order(emulator_for, rng, variant, order):
    x = rng.normal(size=(3, 171)).astype(np.float16)
    column = x[:, :1].copy()
    for op, operands in [(np.tanh, (x,)), (np.multiply, (x, x[0].copy())), (np.less, (x, column))]:
        want = pointwise(emulator_for("plain", SOURCES), op, *operands, dtype=x.dtype)["y"]
        got = pointwise(emulator_for(variant, SOURCES), op, *operands, dtype=x.dtype, order=order)
        np.testing.assert_array_equal(got["y"], want)


@pytest.mark.parametrize("variant", ["asan", "tsan"])
@pytest.mark.parametrize("kind", [np.int32, np.int64, bool])
def test_integers_and_booleans_are_compared(emulator_for, variant, kind):
    """Also those that no float tells apart; rows against one element each."""
    x = np.array([[0, 1, -1, 2**24 + 1], [2**31 - 1, 2**24, 0, 1]]).astype(kind)
    y = x[:, 3:].copy()
    stored = [a.view(np.uint8) if kind is bool else a for a in (x, y)]
    for op in COMPARISONS:
        got = pointwise(emulator_for(variant, SOURCES), op, *stored, dtype=np.dtype(kind))["y"]
        np.testing.assert_array_equal(got, op(x, y))


def cast(emulator, x, to, **options):
    stored = np.uint8 if to == BOOL else to
    return emulator.call(
        "pyllm_cuda_pointwise_cast", "PointwiseCast",
        x=x.view(np.uint8) if x.dtype == bool else x, y=Out(x.shape, stored), shape=eight(x.shape),
        x_strides=row_major(x.shape), y_strides=row_major(x.shape), ndim=x.ndim,
        **{"from": CODES[x.dtype]}, to=CODES[np.dtype(to)], **options,
    )  # fmt: skip


@pytest.mark.parametrize("variant", ["plain", "asan", "tsan"])
@pytest.mark.parametrize("to", CODES, ids=str)
@pytest.mark.parametrize("given", CODES, ids=str)
def test_casts(emulator_for, variant, given, to):
    values = [0, 1] if given == BOOL else [0, 1, -1, 7, 100, -3]
    x = np.array(values).astype(given)
    if given.kind == "f" or given.itemsize == 2:
        x = np.concatenate([x, np.array([0.75, -2.5], given)])
    for count in (1, 6):  # up to 48 elements: no whole piece, then several and a rest
        many = np.tile(x, count)
        got = cast(emulator_for(variant, SOURCES), many, to)["y"]
        np.testing.assert_array_equal(got, many.astype(to))


def test_each_element_moves_once(emulator_for, rng):
    emulator = emulator_for("plain", SOURCES)
    x = rng.normal(size=(32, 64)).astype(np.float32)
    (counts,) = pointwise(emulator, np.exp, x, dtype=x.dtype, counted=True).kernels.values()
    assert counts["global_read_bytes"] == counts["global_write_bytes"] == x.nbytes
    assert counts["sectors"] == counts["ideal_sectors"] == 2 * x.nbytes // 32
    (counts,) = pointwise(emulator, np.add, x, x, dtype=x.dtype, counted=True).kernels.values()
    assert counts["global_read_bytes"] == 2 * x.nbytes


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_rows_that_start_on_16_bytes_move_in_pieces(emulator_for, rng, dtype):
    """A block of 256 threads then takes 4 KiB of each array, and not 256 elements."""
    x = rng.normal(size=(16, 4096 // dtype.itemsize)).astype(dtype)
    odd = np.ones((16, x.shape[1] + 1), dtype)[:, :-1]
    for op, operands, blocks in [
        (np.exp, (x,), 16),
        (np.multiply, (x, x[0].copy()), 16),
        (np.multiply, (x, odd), x.size / 256),
        (np.sin, (x,), x.size / 256),  # longer than the memory takes
    ]:
        done = pointwise(emulator_for("plain", SOURCES), op, *operands, dtype=dtype, counted=True)
        (counts,) = done.kernels.values()
        assert counts["blocks"] == blocks
    (counts,) = cast(emulator_for("plain", SOURCES), x, np.int64, counted=True).kernels.values()
    assert counts["blocks"] == x.size / 2 / 256


def test_in_place(emulator_for):
    x = np.arange(5, dtype=np.float32)
    done = emulator_for("plain", SOURCES).call(
        "pyllm_cuda_pointwise", "Pointwise", a=np.ones(1, np.float32), b=np.ones(1, np.float32),
        y=inout(x), shape=eight([5]), a_strides=eight([0]), b_strides=eight([0]),
        y_strides=eight([1]), ndim=1, op=NUMBERS[np.add], dtype=0,
    )  # fmt: skip
    np.testing.assert_array_equal(done["y"], np.full(5, 2.0))


def test_bad_arguments_are_refused(emulator_for):
    emulator, x = emulator_for("plain", SOURCES), np.ones(4, np.float32)
    with pytest.raises(CudaError, match="error 1"):
        pointwise(emulator, np.add, x, dtype=np.float32)  # one operand too few
    with pytest.raises(CudaError, match="error 1"):
        pointwise(emulator, np.exp, x, x, dtype=np.float32)
    with pytest.raises(CudaError, match="error 1"):
        pointwise(emulator, np.exp, x, dtype=np.int32)
    assert pointwise(emulator, np.exp, x[:0], dtype=np.float32)["y"].shape == (0,)
