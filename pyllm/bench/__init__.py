"""Side-by-side measurement: pyllm and its peers, interleaved in one process, against the machine's
own limits. The cases stand in `benchmarks/bench_*.py`; `pyllm bench` runs them."""

from pyllm.bench.case import DEVICE_SUITES, SUITES, Case, cases, installed, load_cases
from pyllm.bench.ceilings import Ceilings, measure_ceilings
from pyllm.bench.measure import Row, measure

__all__ = [
    "DEVICE_SUITES",
    "SUITES",
    "Case",
    "Ceilings",
    "Row",
    "cases",
    "installed",
    "load_cases",
    "measure",
    "measure_ceilings",
]
