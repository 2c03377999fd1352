"""What nvcc makes of the kernels: they compile for every target, spill nothing, keep to budgets.

Reads ptxas' own report, so it needs nvcc and no GPU; without nvcc this file is left out and the
summary of the test run says so (conftest.py).
"""

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.cuda.emulator.build import BUILD, KERNELS, dependencies, digest

BUDGETS = json.loads((Path(__file__).parent / "static" / "budgets.json").read_text())
TARGETS = ("sm_80", "sm_90")


def resources(report):
    """Kernel's mangled name and target -> registers, shared bytes, spilled bytes."""
    found = {}
    for entry in re.split(r"Compiling entry function ", report)[1:]:
        name, target = re.match(r"'(\w+)' for '(\w+)'", entry).groups()
        spills = re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", entry)
        found[name, target] = {
            "registers": int(re.search(r"Used (\d+) registers", entry)[1]),
            "shared": int((re.search(r"(\d+) bytes smem", entry) or [0, 0])[1]),
            "spills": int(spills[1]) + int(spills[2]),
        }
    return found


def compiler_report(family):
    """What nvcc says about a family; kept by the hash of its sources, as the emulator's objects."""
    BUILD.mkdir(parents=True, exist_ok=True)
    source = KERNELS / f"{family}.cu"
    command = ["nvcc", "-std=c++20", "-O3", "-Xptxas", "-v", "-I", str(KERNELS)]
    for target in TARGETS:
        command += ["-gencode", f"arch={target.replace('sm', 'compute')},code={target}"]
    kept = BUILD / f"{family}-{digest(command, dependencies(source, set()))}.ptxas"
    if not kept.exists():
        done = subprocess.run(
            [*command, "-c", str(source), "-o", str(kept.with_suffix(".o"))],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        kept.with_suffix(".o").unlink()
        kept.write_text(done.stderr)
    return kept.read_text()


@pytest.mark.parametrize("family", BUDGETS)
def test_compiled_kernels_keep_to_their_budget(family):
    report = compiler_report(family)
    assert "warning" not in report, report
    used = resources(report)
    assert {target for _, target in used} == set(TARGETS)
    for (name, target), r in used.items():
        budget = next(b for kernel, b in BUDGETS[family].items() if kernel in name)
        assert r["spills"] == 0, (name, target, r)
        assert r["registers"] <= budget["registers"], (name, target, r)
        assert r["shared"] <= budget["shared"], (name, target, r)
