"""Launches run through Triton's interpreter with the bytes that the driver got: the same numbers as
the CUDA kernels. And every kernel of the table is one that some call launches."""

import itertools

import numpy as np
import pytest

from pyllm import cuda, ops
from tests.triton.conftest import DTYPES
from tests.triton.embedded import optim_cases
from tests.triton.embedded.cases import FAMILIES
from tests.triton.embedded.driver import module, table

TOLERANCE = {"float32": 2e-6, "float16": 2e-3, "bfloat16": 1.6e-2}


def cases(family, dtype):
    rng = np.random.default_rng(7)
    draw = lambda *shape: rng.normal(size=shape).astype(np.float32).astype(dtype)  # noqa: E731
    return FAMILIES[family](draw, dtype)


def numbers(result):
    if isinstance(result, tuple):
        return [numbers(r) for r in result]
    return None if result is None else result.numpy().astype(np.float64)


def close(got, expected, dtype):
    if isinstance(got, list):
        for g, e in zip(got, expected, strict=True):
            close(g, e, dtype)
    elif got is None:
        assert expected is None
    else:
        tolerance = TOLERANCE[np.dtype(dtype).name]
        # Sums over rows are larger than their terms.
        scale = np.abs(expected[np.isfinite(expected)]).max(initial=1)
        np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance * scale)


def to_device(x):
    return cuda.to_device(x) if isinstance(x, np.ndarray) else x


def call(case):
    arrays = map(to_device, case.arrays)
    return case.op(*arrays, **{name: to_device(x) for name, x in case.options.items()})


@pytest.mark.parametrize("family", FAMILIES)
def test_numbers(driver, dtype, family):
    driver.interpret = True
    for case in cases(family, dtype):
        with ops.use_backend("auto"):
            expected = numbers(call(case))
        driver.launched.clear()
        close(numbers(call(case)), expected, dtype)
        launches = tuple(launch.function.removesuffix("_kernel") for launch in driver.launched)
        assert launches == case.launches, case.options


@pytest.mark.parametrize(("storage", "grad_dtype", "master"), [*optim_cases.kinds()])
def test_optimizers(driver, storage, grad_dtype, master):
    driver.interpret = True
    rng = np.random.default_rng(7)
    for op, buffers, options in optim_cases.steps(rng, storage, grad_dtype, master, n=2064):
        after = {}
        for backend in ("auto", "triton"):
            arrays = {name: cuda.to_device(a) for name, a in buffers.items()}
            with ops.use_backend(backend):
                op(**arrays, **options)
            after[backend] = {name: numbers(a) for name, a in arrays.items()}
        for name in buffers:
            close(after["triton"][name], after["auto"][name],
                  storage if name == "param" else np.float32)  # fmt: skip
    assert len(driver.launched) == 10


def test_every_kernel_is_launched_by_something(driver):
    for dtype in DTYPES:
        for family in FAMILIES:
            for case in cases(family, dtype):
                call(case)
    for kind in optim_cases.kinds():
        for op, buffers, options in optim_cases.steps(np.random.default_rng(7), *kind, n=16):
            op(**{name: cuda.to_device(a) for name, a in buffers.items()}, **options)
    for bins, index in itertools.product((np.uint8, np.int16), (None, np.int32, np.int64)):
        rows = () if index is None else (cuda.to_device(np.zeros(2, index)),)
        arrays = cuda.to_device(np.zeros((1, 2), bins)), cuda.to_device(np.zeros((2, 2), np.int32))
        module().triton.histogram(*arrays, 4, *rows)
    idle = set(range(len(table()))) - {launch.number for launch in driver.launched}
    assert sorted(table()[i][0]["name"] for i in idle) == []
