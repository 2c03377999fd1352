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


def pytest_report_header():
    if compiler() is None:
        return "cuda: the emulator needs g++ on x86-64 Linux: tests/cuda is left out"
    static = "compiled by nvcc too" if HAS_NVCC else "no nvcc: test_static.py is left out"
    return f"cuda: kernels run on the CPU through the emulator; {static}"


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
