"""The embedded kernels on the emulated device, without torch in their way."""

import sysconfig
from pathlib import Path

import pytest

from pyllm import cuda
from tests.cuda.emulator.build import compiler

if compiler() is None or not Path(sysconfig.get_path("include"), "Python.h").exists():
    collect_ignore_glob = ["test_*.py"]  # as tests/cuda, which says so


@pytest.fixture(scope="session")
def the_driver():
    from tests.triton.embedded.driver import Driver

    return Driver()


@pytest.fixture
def driver(the_driver, monkeypatch):
    from tests.triton.embedded.driver import module

    loaded = module()
    monkeypatch.setattr(cuda, "extension", lambda: loaded)
    the_driver.reset()
    yield the_driver
    assert the_driver.raised == []
