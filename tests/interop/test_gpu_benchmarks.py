"""The GPU benchmarks as far as they go without a device: they load, and leave out absent peers."""

import importlib.util

import pytest

from pyllm.bench import load_cases
from pyllm.bench.device import by_triton

pytest.importorskip("torch")


def test_cases_load_without_a_device():
    names = [case.name for case in load_cases(("gpu",))]
    assert any(name.startswith("attention forward+backward") for name in names)
    assert len(names) == len(set(names))


def test_triton_is_a_side_where_it_is_installed(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert by_triton(lambda: 1) == {}
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    assert list(by_triton(lambda: 1)) == ["pyllm, Triton"]
