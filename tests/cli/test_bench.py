"""The yardstick of `pyllm bench`: what is timed, and what a share is a share of."""

import time

import numpy as np
import pytest

from pyllm import _cpu, cuda
from pyllm.bench import Case, Ceilings, Row, installed, measure
from pyllm.cli.bench import table_of


@pytest.mark.parametrize("traffic", ["read", "copy", "triad", "update"])
@pytest.mark.parametrize("working_set", [12, 100_000])
def test_probe_moves_its_working_set(traffic, working_set, isa):
    probe = _cpu.BandwidthProbe(traffic, working_set)
    moved = 2 * working_set if traffic == "update" else working_set  # read and written
    assert moved - 24 < probe.bytes <= moved
    probe()
    assert isinstance(probe.streamed, bool)


def test_probe_says_what_it_expects():
    with pytest.raises(ValueError, match="traffic: expected 'read', 'copy', 'triad' or 'update'"):
        _cpu.BandwidthProbe("write", 100)
    with pytest.raises(ValueError, match="working_set: expected at least 12 bytes"):
        _cpu.BandwidthProbe("copy", 3)


def sides():
    x, y = np.ones((2, 50_000))
    return {"ours": lambda: np.copyto(y, x), "peer": lambda: (np.copyto(y, x), np.copyto(y, x))}


def test_a_row_has_a_ratio_and_a_share():
    row = measure(Case("copy", sides, bytes=800_000, repeats=3), Ceilings(flops=1e9))
    assert list(row.seconds) == ["ours", "peer"]
    assert list(row.ratio) == ["peer"]
    assert row.bandwidth > 0
    assert row.share > 0
    # Ruled by arithmetic, which takes a second at this rate.
    slow = measure(Case("copy", sides, bytes=8, flops=1e9, repeats=3), Ceilings(flops=1e9))
    assert slow.share * slow.seconds["ours"] == pytest.approx(1)


def test_no_bound_no_share():
    row = measure(Case("copy", sides, repeats=2), Ceilings(flops=1e9))
    assert row.share is None
    assert row.bandwidth is None


def test_no_cuda_device_is_said_politely(pyllm, tmp_path):
    if cuda.is_available():
        return
    done = pyllm("bench", "--device", "cuda", cwd=tmp_path)
    assert done.returncode == 1
    assert "No CUDA device to measure on: " in done.stdout
    assert "Traceback" not in done.stderr
    done = pyllm("bench", "--device", "tpu", cwd=tmp_path)
    assert done.returncode == 2
    assert "expected cpu or cuda" in done.stderr


def test_models_are_judged_once_and_long_runs_need_no_settling():
    calls = []

    def sides():
        return {"ours": lambda: calls.append("ours") or 0.75, "peer": lambda: 0.5}

    row = measure(Case("fit", sides, repeats=2, auc=lambda model: model), Ceilings(flops=1e9))
    assert row.auc == {"ours": 0.75, "peer": 0.5}
    assert len(calls) > 2 + 2 * 2  # settled before each round
    calls.clear()

    def slow():
        return {"ours": lambda: (calls.append("ours"), time.sleep(0.51))}

    measure(Case("fit", slow, repeats=1), Ceilings(flops=1e9))
    assert len(calls) == 2  # one to warm up, one to time


def test_peers_that_are_not_installed_are_left_out():
    def missing():
        import no_such_library  # noqa: F401

    with pytest.warns(UserWarning, match=r"peer is left out, it needs no_such_library: pip"):
        sides = installed(int, peer=missing, other=lambda: float)
    assert list(sides) == ["pyllm", "other"]

    def broken():
        raise ModuleNotFoundError(name="pyllm.trees")

    with pytest.raises(ModuleNotFoundError):
        installed(int, peer=broken)


def test_areas_stand_beside_the_peers_in_red_where_they_fall_behind():
    row = Row("fit", {"pyllm": 1.0, "peer": 2.0}, {"peer": 2.0}, None)
    row.auc = {"pyllm": 0.8, "peer": 0.8005}
    assert list(table_of([row]).columns[-1].cells) == ["[green]0.8000[/] / 0.8005"]
    row.auc["peer"] = 0.802
    assert list(table_of([row]).columns[-1].cells) == ["[red]0.8000[/] / 0.8020"]
