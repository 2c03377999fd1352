"""What nvcc makes of the kernels: they compile for every target, spill nothing, keep to budgets.

Reads ptxas' own report, so it needs nvcc and no GPU; without nvcc this file is left out and the
summary of the test run says so (conftest.py).
"""

import json
from pathlib import Path

import pytest

from tests.cuda.static.compiled import TARGETS, compile_family, occupancy, resources

BUDGETS = json.loads((Path(__file__).parent / "static" / "budgets.json").read_text())


@pytest.mark.parametrize("family", BUDGETS)
def test_compiled_kernels_keep_to_their_budget(family):
    report, _ = compile_family(family)
    assert "warning" not in report, report
    used = resources(family)
    assert {target for _, target in used} == set(TARGETS)
    for (name, target), r in used.items():
        budget = next(b for kernel, b in BUDGETS[family].items() if kernel in name)
        assert r["spills"] == 0, (name, target, r)
        assert r["registers"] <= budget["registers"], (name, target, r)
        assert r["shared"] <= budget["shared"], (name, target, r)


@pytest.mark.parametrize(
    ("target", "registers", "shared", "dynamic", "threads", "blocks"),
    [
        ("sm_80", 32, 0, 0, 256, 8),  # threads: 2,048
        ("sm_80", 128, 0, 0, 256, 2),  # registers: 65,536
        (
            "sm_80",
            32,
            0,
            54 << 10,
            128,
            2,
        ),  # shared memory: 164 KiB, 1 KiB of each block's reserved
        ("sm_90", 32, 0, 54 << 10, 128, 4),  # 228 KiB
        ("sm_80", 32, 0, 200 << 10, 128, 0),  # more than a block can have
    ],
)
def test_occupancy_by_hand(target, registers, shared, dynamic, threads, blocks):
    assert occupancy(target, registers, shared, dynamic, threads) == blocks
