"""The machine's own limits, measured when a benchmark starts."""

from dataclasses import dataclass

from pyllm import _cpu


@dataclass(frozen=True)
class Ceilings:
    """`bandwidth` in bytes a second (triad over 256 MiB arrays), `flops` in float32 operations a
    second (independent FMA chains in registers); best of several, at the current thread count."""

    bandwidth: float
    flops: float

    def seconds(self, bytes: float, flops: float) -> float:
        """The least time a workload can take."""
        return max(bytes / self.bandwidth, flops / self.flops)


def measure_ceilings() -> Ceilings:
    return Ceilings(_cpu.measure_bandwidth(), _cpu.measure_peak_flops())
