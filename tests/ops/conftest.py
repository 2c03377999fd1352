"""The back ends that op conformance tests run on, and which of them have which storage types."""

import sysconfig
from contextlib import contextmanager
from pathlib import Path

import pytest

from pyllm import _cpu, cuda
from tests.backends import on_device
from tests.conftest import DTYPES
from tests.cuda.emulator.build import compiler

CPU = [f"cpu-{isa}" for isa in _cpu.available_isas()]
HAS_EMULATOR = compiler() is not None and Path(sysconfig.get_path("include"), "Python.h").exists()
EMULATED = ["cuda-emulated"] if HAS_EMULATOR else []
DEVICES = [*EMULATED, pytest.param("cuda", marks=pytest.mark.on_gpu)]
DEVICE_DTYPES = [name for name in DTYPES if name != "float64"]


def pytest_generate_tests(metafunc):
    """`dtype`, `backend`, or both: the storage types that each back end has."""
    own = {m.args[0] for m in metafunc.definition.iter_markers("parametrize")}
    names = [n for n in ("backend", "dtype") if n in metafunc.fixturenames and n not in own]
    if names == ["dtype"]:
        metafunc.parametrize("dtype", DTYPES.values(), ids=DTYPES.keys(), indirect=True)
    elif names == ["backend"]:
        metafunc.parametrize("backend", [*CPU, *DEVICES], indirect=True)
    elif names:
        cases = [
            pytest.param(backend, DTYPES[name], id=f"{backend}-{name}", marks=marks)
            for backend, types, marks in (
                *((backend, DTYPES, ()) for backend in CPU),
                *((backend, DEVICE_DTYPES, ()) for backend in EMULATED),
                ("cuda", DEVICE_DTYPES, pytest.mark.on_gpu),
            )
            for name in types
        ]
        metafunc.parametrize("backend,dtype", cases, indirect=True)


@pytest.fixture
def dtype(request):
    """A floating storage type, as a NumPy dtype."""
    return request.param


@pytest.fixture(scope="module")
def backend(request):
    """The back end's name; `tests.backends.ops` computes on it while the test runs."""
    return request.param


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    chosen = item.callspec.params.get("backend") if hasattr(item, "callspec") else None
    with computing_on(chosen):
        return (yield)


@contextmanager
def computing_on(backend):
    """Around one test; the next may be about something else."""
    if backend == "cuda-emulated":
        from tests.cuda.emulator.module import emulated_module

        with on_device(emulated_module()):
            yield
    elif backend == "cuda":
        if not cuda.is_available():
            pytest.fail(f"CUDA: {cuda.describe()}")
        with on_device(cuda.extension()):
            yield
    elif backend is not None:
        before = _cpu.isa()
        _cpu.set_isa(backend.removeprefix("cpu-"))
        try:
            yield
        finally:
            _cpu.set_isa(before)
    else:
        yield
