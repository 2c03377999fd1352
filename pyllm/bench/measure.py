"""Interleaved timing: every round runs each side once, so that both see the same machine."""

import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import pyllm
from pyllm.bench.case import Case
from pyllm.bench.ceilings import Ceilings
from pyllm.bench.peak import peak_memory


@dataclass
class Row:
    """One case, measured.

    Attributes:
        seconds: median time of a call, per side.
        ratio: median over the rounds of peer time / our time, per peer (above 1: we are faster).
        share: median over the rounds of the machine's least time / our time; None without a bound.
        bandwidth: bytes a second of the limit, where memory is one; the median.
        peak_bytes: memory above the start, per side, where the case asks for it.
        auc: of the model of each side, where the case asks for it.
    """

    name: str
    seconds: dict[str, float]
    ratio: dict[str, float]
    share: float | None
    bandwidth: float | None = None
    peak_bytes: dict[str, int] = field(default_factory=dict)
    auc: dict[str, float] = field(default_factory=dict)


def measure(
    case: Case, ceilings: Ceilings, synchronize: Callable[[], object] = lambda: None
) -> Row:
    """Run a case. Its first side is ours. `synchronize` waits for what a call has only queued."""
    sides = case.sides()
    ours = next(iter(sides))
    auc: dict[str, float] = {}
    long: dict[str, bool] = {}
    for name, run in sides.items():  # warm caches, allocators and lazy set-up of both
        start = time.perf_counter()
        result = run()
        long[name] = time.perf_counter() - start > _LONG
        if case.auc:
            auc[name] = case.auc(result)
        if not long[name]:
            run()
    probe = ceilings.probe(case)
    bandwidths: list[float] = []
    times: dict[str, list[float]] = {name: [] for name in sides}
    gc.collect()
    gc.disable()
    try:
        for _ in range(case.repeats):
            for name, run in sides.items():
                times[name].append(_time(run, case.calls, synchronize, settle=not long[name]))
            if probe:
                bandwidths.append(probe.bytes / _time(probe, 1, synchronize))
    finally:
        gc.enable()
    threads = pyllm.get_num_threads()
    peaks = {name: peak_memory(case, name, threads) for name in sides} if case.memory else {}
    seconds = {name: statistics.median(values) for name, values in times.items()}
    ratio = {
        name: statistics.median(t / o for t, o in zip(values, times[ours], strict=True))
        for name, values in times.items()
        if name != ours
    }
    share = None
    if probe or case.flops:
        limits = bandwidths or [0.0] * case.repeats
        share = statistics.median(
            ceilings.seconds(case, limit) / o for limit, o in zip(limits, times[ours], strict=True)
        )
    bandwidth = statistics.median(bandwidths) if bandwidths else None
    return Row(case.name, seconds, ratio, share, bandwidth, peaks, auc)


# An OpenMP pool (torch's) polls for some milliseconds after its last region and would take a core
# from whoever runs next, so each side starts from rest. A thread that slept may then start on its
# waker's core and wait there for the scheduler's next tick (4 ms), so each side runs untimed until
# a few ticks have spread its threads. To a run of half a second neither matters.
_REST = 0.02
_SETTLE = 0.015
_LONG = 0.5


def _time(
    run: Callable[[], object],
    calls: int,
    synchronize: Callable[[], object],
    settle: bool = True,
) -> float:
    time.sleep(_REST)
    settled = time.perf_counter() + _SETTLE
    while settle:
        run()
        synchronize()
        if time.perf_counter() >= settled:
            break
    start = time.perf_counter()
    for _ in range(calls):
        run()
    synchronize()
    return (time.perf_counter() - start) / calls
