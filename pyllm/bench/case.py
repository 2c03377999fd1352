"""What is measured: one workload, our way and the peers' ways.

A file `benchmarks/bench_<family>.py` registers a generator of cases under a suite:

    @cases("ops")
    def softmax():
        yield Case("softmax forward 8192x1024", sides, bytes=2 * 8192 * 1024 * 4)

where `sides()` builds the inputs and returns {"pyllm": run, "torch": run, "torch out=": run}; it is
called just before the case is measured and its arrays are dropped right after.
"""

import importlib.util
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Sides = dict[str, Callable[[], object]]
# What a workload does with memory at best: reads arrays only; reads one and writes another; reads
# two and writes a third; reads and writes the same.
Traffic = Literal["read", "copy", "triad", "update"]
SUITES = ("ops", "optim", "train", "trees")
DEVICE_SUITES = ("gpu",)  # in benchmarks/gpu; they need a CUDA device
_registered: dict[str, list[Callable[[], Iterator["Case"]]]] = {}


@dataclass(frozen=True)
class Case:
    """One row of the table.

    Attributes:
        name: what runs, with its shape.
        sides: builds the inputs, returns what to time; "pyllm" first, then the peers.
        bytes: bytes that the workload must move at least (0: not bound by memory).
        traffic: how those bytes are moved; picks the pattern that measures the limit.
        working_set: bytes of all arrays touched, where that is not `bytes` (for "update": half of
            it): decides how much of them the caches may hold.
        flops: floating-point operations that it must do at least (0: not bound by arithmetic).
        repeats: timed rounds; each runs every side once, in turn.
        calls: calls a timing, for workloads too short for the clock.
        memory: also report each side's peak memory above its start.
        auc: of models: takes what a side returned, gives its AUC on rows held out.
    """

    name: str
    sides: Callable[[], Sides]
    bytes: float = 0
    traffic: Traffic = "copy"
    working_set: float | None = None
    flops: float = 0
    repeats: int = 15
    calls: int = 1
    memory: bool = False
    auc: Callable[[Any], float] | None = None


def installed(ours: Callable[[], object], **peers: Callable[[], Callable[[], object]]) -> Sides:
    """Sides of which each peer is built by a function; those that are not installed are left out.

    Args:
        ours: what to time of pyllm.
        peers: by name; imports its library and returns what to time.
    """
    sides: Sides = {"pyllm": ours}
    for name, build in peers.items():
        try:
            sides[name] = build()
        except ModuleNotFoundError as missing:
            if (missing.name or "").partition(".")[0] == "pyllm":
                raise
            warnings.warn(
                f"{name} is left out, it needs {missing.name}: pip install 'pyllm[bench]'",
                stacklevel=2,
            )
    return sides


def cases(suite: str) -> Callable[[Callable[[], Iterator[Case]]], Callable[[], Iterator[Case]]]:
    """Register a generator of cases under one of `SUITES` or `DEVICE_SUITES`."""
    if suite not in (*SUITES, *DEVICE_SUITES):
        known = ", ".join((*SUITES, *DEVICE_SUITES))
        raise ValueError(f"suite: expected one of {known}, got {suite!r}")

    def register(generate: Callable[[], Iterator[Case]]) -> Callable[[], Iterator[Case]]:
        _registered.setdefault(suite, []).append(generate)
        return generate

    return register


def case_folder() -> Path:
    """Where the case files are: in the package when installed, beside it in a source tree."""
    here = Path(__file__).parent
    shipped = here / "benchmarks"
    return shipped if shipped.is_dir() else here.parent.parent / "benchmarks"


def load_cases(
    suites: tuple[str, ...] = SUITES,
    match: str = "",
    leave_out: Callable[[str, ModuleNotFoundError], object] | None = None,
) -> list[Case]:
    """The cases of some suites whose names contain `match` (case does not matter).

    Args:
        leave_out: told the name of a file of cases whose peer is not installed, which is then left
            out. Default: the error is raised.
    """
    folder = case_folder()
    on_device = set(suites) <= set(DEVICE_SUITES)
    for path in sorted((folder / "gpu" if on_device else folder).glob("bench_*.py")):
        name = f"pyllm_{'gpu_' if on_device else ''}{path.stem}"
        if name in sys.modules:
            continue
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except ModuleNotFoundError as missing:
            del sys.modules[name]
            if leave_out is None or (missing.name or "").partition(".")[0] == "pyllm":
                raise
            leave_out(path.name, missing)
    return [
        case
        for suite in suites
        for generate in _registered.get(suite, [])
        for case in generate()
        if match.lower() in case.name.lower()
    ]
