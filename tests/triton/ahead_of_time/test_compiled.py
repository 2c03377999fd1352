"""Every kernel compiles for every target, spills nothing, keeps to its budget, uses what it must.

The budgets are what Triton 3.9.0 needs, registers rounded up to a multiple of 8. To write them
again after a change that is meant to cost more: python -m tests.triton.ahead_of_time.budgets
"""

import json
from pathlib import Path

import pytest

from tests.triton.ahead_of_time.compiled import TARGETS, results, start

BUDGETS = json.loads((Path(__file__).parent / "budgets.json").read_text())
everything = pytest.mark.parametrize(
    ("name", "target"), [(name, target) for name in BUDGETS for target in TARGETS]
)


@pytest.fixture(scope="module")
def compiled():
    return results()


def test_every_kernel_has_a_budget(compiled):
    assert set(compiled) == set(BUDGETS)


@everything
def test_budget(compiled, name, target):
    used, budget = compiled[name][target], BUDGETS[name][target]
    assert used["stack"] == 0
    assert not {"LDL", "STL"} & set(used["instructions"])
    assert used["registers"] <= budget["registers"]
    assert used["shared"] <= budget["shared"]


@everything
def test_global_memory_is_accessed_16_bytes_at_a_time(compiled, name, target):
    used = compiled[name][target]["instructions"]
    wide = sum(n for i, n in used.items() if i in ("LDG.128", "LDGSTS.128", "STG.128", "UTMALDG"))
    assert wide > 0


# The tensor cores: mma.sync everywhere, wgmma on sm_90 and tcgen05 on sm_100 where tiles are wide.
TENSOR = {"sm_80": {"HMMA"}, "sm_90": {"HMMA", "HGMMA"}, "sm_100": {"HMMA", "UTCHMMA"}}
WARPGROUP = {"sm_80": "HMMA", "sm_90": "HGMMA", "sm_100": "UTCHMMA"}
products = [n for n in BUDGETS if n.startswith("attention") and "delta" not in n]


@pytest.mark.parametrize("name", products)
@pytest.mark.parametrize("target", TARGETS)
def test_attention_multiplies_on_the_tensor_cores(compiled, name, target):
    used = set(compiled[name][target]["instructions"])
    assert TENSOR[target] & used
    if name.startswith("attention_forward_bf16_right"):
        assert WARPGROUP[target] in used
        assert {"LDGSTS.128", "UTMALDG"} & used  # copies that the products do not wait for


def test_every_option_and_size_1_compile():
    output, errors = (process := start("variants")).communicate()
    assert process.returncode == 0, errors
    assert output == ""
