"""What nvcc makes of the kernels: they compile for every target, spill nothing, keep to budgets.

Reads ptxas' own report, so it needs nvcc and no GPU; without nvcc this file is left out and the
summary of the test run says so (conftest.py).
"""

import pytest

from tests.cuda.static.budgets import BUDGETS, FILE, pattern_of, written
from tests.cuda.static.compiled import TARGETS, compile_family, occupancy, resources


@pytest.mark.usefixtures("compiled_families")
@pytest.mark.parametrize("family", BUDGETS)
def test_compiled_kernels_keep_to_their_budget(family):
    report, _ = compile_family(family)
    assert "warning" not in report, report
    used = resources(family)
    assert {target for _, target in used} == set(TARGETS)
    patterns = set()
    for (name, target), r in used.items():
        patterns.add(pattern := pattern_of(family, name))
        b = BUDGETS[family][pattern]
        assert r["spills"] == 0, (name, target, r)
        assert r["registers"] <= b[target]["registers"], (name, target, r)
        assert r["shared"] <= b["shared"], (name, target, r)
    assert patterns == set(BUDGETS[family]), "a budget for no kernel"


@pytest.mark.parametrize("family", BUDGETS)
def test_budgets_leave_room_for_the_blocks_they_say(family):
    for pattern, b in BUDGETS[family].items():
        for target in TARGETS:
            registers, blocks = b[target]["registers"], b[target]["blocks"]
            held = occupancy(target, registers, b["shared"], b["dynamic"], b["threads"])
            assert held == blocks >= 1, (pattern, target)


def test_the_budget_file_is_as_it_is_written():
    assert FILE.read_text() == written()


@pytest.mark.parametrize(
    ("target", "registers", "shared", "dynamic", "threads", "blocks"),
    [
        ("sm_80", 32, 0, 0, 256, 8),  # threads: 2,048
        ("sm_80", 128, 0, 0, 256, 2),  # registers: 65,536
        # Shared memory: 164 KiB, 1 KiB of each block's reserved; 228 KiB.
        ("sm_80", 32, 0, 54 << 10, 128, 2),
        ("sm_90", 32, 0, 54 << 10, 128, 4),
        ("sm_80", 32, 0, 200 << 10, 128, 0),  # more than a block can have
    ],
)
def test_occupancy_by_hand(target, registers, shared, dynamic, threads, blocks):
    assert occupancy(target, registers, shared, dynamic, threads) == blocks
