"""Emulators that the tests of one session share; built on first use."""

import shutil
from pathlib import Path

import pytest

from tests.cuda.emulator.build import compiler
from tests.cuda.emulator.client import Emulator

PLANTED = Path(__file__).parent / "planted"

HAS_NVCC = shutil.which("nvcc") is not None
if compiler() is None:
    collect_ignore_glob = ["test_*.py"]
elif not HAS_NVCC:
    collect_ignore = ["test_static.py"]


def pytest_terminal_summary(terminalreporter):
    if compiler() is None:
        terminalreporter.write_line("tests/cuda: left out, the emulator needs g++ on x86-64 Linux")
    elif not HAS_NVCC:
        terminalreporter.write_line("tests/cuda: test_static.py left out, nvcc is not installed")


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
