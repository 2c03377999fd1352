"""What kernels may take, from budgets.json: {family: {pattern of names: budget}}.

    threads     of a block, as launchers start it
    shared      bytes, static, and `dynamic`, as launchers ask for
    sm_80 ...   registers of a thread, rounded up to the 8 that the hardware hands out, and the
                blocks that a multiprocessor then holds

The first pattern that a name matches counts. Run as a program this writes the numbers again, for
all families or for those named, after a change that is meant to cost more; patterns stay:

    python -m tests.cuda.static.budgets [FAMILY ...]
"""

import json
import sys
from fnmatch import fnmatchcase
from pathlib import Path

from tests.cuda.static.compiled import (
    TARGETS,
    compile_families,
    launch_bounds,
    occupancy,
    resources,
)

FILE = Path(__file__).parent / "budgets.json"
BUDGETS: dict[str, dict[str, dict]] = json.loads(FILE.read_text())


def pattern_of(family: str, kernel: str) -> str:
    """The pattern whose budget counts for a kernel."""
    found = next((p for p in BUDGETS[family] if fnmatchcase(kernel, p)), None)
    if found is None:
        raise KeyError(f"no budget for {kernel} in {FILE.name}, family {family}")
    return found


def budget(family: str, kernel: str) -> dict:
    return BUDGETS[family][pattern_of(family, kernel)]


def measured(family: str) -> dict[str, dict]:
    """The family's budgets with the numbers that nvcc gives now."""
    kernels: dict[str, list[str]] = {pattern: [] for pattern in BUDGETS[family]}
    used, bounds = resources(family), launch_bounds(family)
    for kernel in sorted({name for name, _ in used}):
        kernels[pattern_of(family, kernel)].append(kernel)
    return {p: _measured(BUDGETS[family][p], k, used, bounds) for p, k in kernels.items() if k}


def _measured(before: dict, kernels: list[str], used: dict, bounds: dict) -> dict:
    threads = {bounds[kernel, target] for kernel in kernels for target in TARGETS}
    if len(threads) > 1:
        raise ValueError(f"{', '.join(kernels)}: one pattern for blocks of {threads} threads")
    now = {"threads": threads.pop()}
    now["shared"] = max(used[kernel, target]["shared"] for kernel in kernels for target in TARGETS)
    now["dynamic"] = before.get("dynamic", 0)
    for target in TARGETS:
        registers = max(used[kernel, target]["registers"] for kernel in kernels)
        registers = min(-(-registers // 8) * 8, 255)
        blocks = occupancy(target, registers, now["shared"], now["dynamic"], now["threads"])
        now[target] = {"registers": registers, "blocks": blocks}
    return now


def written() -> str:
    """The file: a line a kernel."""
    families = []
    for family, kernels in sorted(BUDGETS.items()):
        lines = [f"    {json.dumps(name)}: {json.dumps(b)}" for name, b in kernels.items()]
        families.append(f"  {json.dumps(family)}: {{\n" + ",\n".join(lines) + "\n  }")
    return "{\n" + ",\n".join(families) + "\n}\n"


if __name__ == "__main__":
    chosen = sys.argv[1:] or list(BUDGETS)
    compile_families(chosen)
    BUDGETS |= {family: measured(family) for family in chosen}
    FILE.write_text(written())
