"""Emulators that the tests of one session share; built on first use."""

import gc
import shutil
import sysconfig
from pathlib import Path

import pytest

from pyllm import cuda
from tests.cuda.emulator.build import compiler
from tests.cuda.emulator.client import Emulator
from tests.cuda.emulator.module import Runtime, emulated_module
from tests.cuda.static.compiled import compile_families, cuobjdump

PLANTED = Path(__file__).parent / "planted"

# Files that are left out, and what they need.
MISSING: dict[str, str] = {}
if compiler() is None:
    collect_ignore_glob = ["test_*.py"]
    MISSING["all of them"] = "the emulator needs g++ on x86-64 Linux"
else:
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        for name in ("test_bindings.py", "test_cublaslt.py"):
            MISSING[name] = "the headers of Python are not installed"
    if shutil.which("nvcc") is None:
        MISSING["test_static.py"] = MISSING["test_machine_code.py"] = "nvcc is not installed"
    elif cuobjdump() is None:
        MISSING["test_machine_code.py"] = "cuobjdump is not installed (extra gpu-tests)"
    collect_ignore = list(MISSING)


def pytest_terminal_summary(terminalreporter):
    for name, why in MISSING.items():
        terminalreporter.write_line(f"tests/cuda: {name} left out, {why}")


@pytest.fixture(scope="session")
def emulator_for():
    """A function: build variant and sources (default: all kernels) -> a running Emulator."""
    made = {}

    def get(variant, sources=None):
        key = (variant, None if sources is None else tuple(sources))
        if key not in made:
            made[key] = Emulator(variant, sources)
        return made[key]

    yield get
    for emulator in made.values():
        emulator.close()


@pytest.fixture
def emulated_device(monkeypatch):
    """The emulated module as pyllm._cuda; the test must give all its memory back."""
    loaded, runtime = emulated_module(), Runtime()
    monkeypatch.setattr(cuda, "extension", lambda: loaded)
    gc.collect()
    before = runtime.in_use
    yield loaded
    gc.collect()
    assert runtime.in_use == before


@pytest.fixture(scope="session")
def compiled_families(request):
    """All families that a test of this session asks for by its parameter, compiled side by side."""
    wanted = [i for i in request.session.items if "compiled_families" in i.fixturenames]
    given = [getattr(item, "callspec", None) for item in wanted]
    compile_families({g.params["family"] for g in given if g is not None and "family" in g.params})
