"""Interleaved timing: every round runs each side once, so that both see the same machine."""

import gc
import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from pyllm.bench.case import Case
from pyllm.bench.ceilings import Ceilings


@dataclass
class Row:
    """One case, measured.

    Attributes:
        seconds: median time of a call, per side.
        ratio: median over the rounds of peer time / our time, per peer (above 1: we are faster).
        share: the machine's least time for the case over our median; None without a bound.
        peak_bytes: memory above the start, per side, where the case asks for it.
    """

    name: str
    seconds: dict[str, float]
    ratio: dict[str, float]
    share: float | None
    peak_bytes: dict[str, int] = field(default_factory=dict)


def measure(case: Case, ceilings: Ceilings) -> Row:
    """Run a case. Its first side is ours."""
    sides = case.sides()
    ours = next(iter(sides))
    for run in sides.values():  # warm caches, allocators and lazy set-up of both
        run()
        run()
    times: dict[str, list[float]] = {name: [] for name in sides}
    gc.collect()
    gc.disable()
    try:
        for _ in range(case.repeats):
            for name, run in sides.items():
                times[name].append(_time(run, case.calls))
    finally:
        gc.enable()
    peaks = {name: _peak_memory(run) for name, run in sides.items()} if case.memory else {}
    seconds = {name: statistics.median(values) for name, values in times.items()}
    ratio = {
        name: statistics.median(t / o for t, o in zip(values, times[ours], strict=True))
        for name, values in times.items()
        if name != ours
    }
    bound = ceilings.seconds(case.bytes, case.flops)
    return Row(case.name, seconds, ratio, bound / seconds[ours] if bound else None, peaks)


# An OpenMP pool (torch's) polls for some milliseconds after its last region and would take a core
# from whoever runs next, so each side starts from rest. One untimed call then wakes its threads:
# one that slept may start on its waker's core, which costs either side milliseconds.
_REST = 0.02


def _time(run: Callable[[], object], calls: int) -> float:
    time.sleep(_REST)
    run()
    start = time.perf_counter()
    for _ in range(calls):
        run()
    return (time.perf_counter() - start) / calls


def _peak_memory(run: Callable[[], object]) -> int:
    """Resident bytes above the start while `run` runs, sampled every 2 ms.

    Blocks that our allocator keeps for reuse are given back first, so that they count again.
    """
    from pyllm import memory

    gc.collect()
    memory.empty_cache()
    start = peak = _resident()
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.002):
            peak = max(peak, _resident())

    watcher = threading.Thread(target=watch)
    watcher.start()
    run()
    peak = max(peak, _resident())
    done.set()
    watcher.join()
    return peak - start


def _resident() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0
