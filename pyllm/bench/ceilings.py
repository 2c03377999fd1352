"""The machine's own limits: what a benchmark row's share is a share of.

Arithmetic: independent float32 multiply-add chains in registers, measured once.

Memory: a pass over arrays that does nothing but move bytes, in the way the op must (`Traffic`) and
over as many bytes as the op touches, so that what a cache can hold is held by both. It is timed
beside the op in every round, since what neighbours leave of a machine's bandwidth changes from one
second to the next. Stores go past the caches wherever that is the faster.
"""

from dataclasses import dataclass

from pyllm import _cpu
from pyllm.bench.case import Case


@dataclass(frozen=True)
class Ceilings:
    """`flops`: float32 operations a second at the current thread count."""

    flops: float

    def probe(self, case: Case) -> _cpu.BandwidthProbe | None:
        """A pass to time beside a case that is bound by memory."""
        if not case.bytes:
            return None
        touched = case.working_set
        if touched is None:
            touched = case.bytes / 2 if case.traffic == "update" else case.bytes
        return _cpu.BandwidthProbe(case.traffic, int(touched))

    def seconds(self, case: Case, bandwidth: float) -> float:
        """The least time a case can take."""
        return max(case.bytes / bandwidth if case.bytes else 0.0, case.flops / self.flops)


def measure_ceilings() -> Ceilings:
    return Ceilings(_cpu.measure_peak_flops())
