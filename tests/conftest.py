"""Fixtures that every op's conformance tests share."""

import os
from importlib.util import find_spec

import hypothesis
import ml_dtypes
import numpy as np
import pytest

from pyllm import _cpu

hypothesis.settings.register_profile("pyllm", deadline=None, derandomize=True, max_examples=40)
hypothesis.settings.load_profile("pyllm")

# Unit roundoff of each storage type, and what it computes in.
DTYPES = {
    "float32": np.dtype(np.float32),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
    "float16": np.dtype(np.float16),
    "float64": np.dtype(np.float64),
}


@pytest.fixture(params=_cpu.available_isas())
def isa(request):
    """Each instruction set that the build and this machine have, in turn."""
    before = _cpu.isa()
    _cpu.set_isa(request.param)
    yield request.param
    _cpu.set_isa(before)


@pytest.fixture(params=DTYPES.values(), ids=DTYPES.keys())
def dtype(request):
    """Each floating storage type, as a NumPy dtype."""
    return request.param


@pytest.fixture
def threads():
    """A function that sets the thread count; put back after the test."""
    before = _cpu.num_threads()
    yield _cpu.set_num_threads
    _cpu.set_num_threads(before)


@pytest.fixture
def rng(request):
    """A generator seeded by the test's name."""
    return np.random.default_rng(list(request.node.name.encode()))


def pytest_report_header():
    forced = os.environ.get("PYLLM_ISA")
    return f"pyllm: isa {_cpu.isa()}{' (forced)' if forced else ''}, {_cpu.num_threads()} threads"


def pytest_terminal_summary(terminalreporter):
    peers = [name for name in ("torch", "transformers", "jax") if find_spec(name) is None]
    if peers:
        terminalreporter.write_line(
            f"left out: comparisons with {', '.join(peers)} (tests/interop); "
            "pip install 'pyllm[interop]' brings them"
        )
