"""Learning rates as functions of the step (0 for the first)."""

import math
from collections.abc import Callable

Schedule = Callable[[int], float]


def warm_up(after: Schedule, peak: float, steps: int) -> Schedule:
    """Linear from peak / steps to peak, then `after`, whose steps count from there."""
    return lambda step: peak * (step + 1) / steps if step < steps else after(step - steps)


def constant(peak: float) -> Schedule:
    return lambda step: peak


def linear(peak: float, steps: int, final: float = 0.0) -> Schedule:
    """Straight from peak to final over `steps`."""
    return lambda step: peak + (final - peak) * _share(step, steps)


def cosine(peak: float, steps: int, final: float = 0.0) -> Schedule:
    """Half a cosine from peak to final over `steps` (Loshchilov and Hutter 2017)."""
    return lambda step: final + (peak - final) * (1 + math.cos(math.pi * _share(step, steps))) / 2


def exponential(peak: float, steps: int, final: float) -> Schedule:
    """From peak to final (above 0) by a constant factor a step."""
    return lambda step: peak * (final / peak) ** _share(step, steps)


def inverse_sqrt(peak: float, offset: int = 1) -> Schedule:
    """peak * sqrt(offset / (step + offset)) (Vaswani et al. 2017)."""
    return lambda step: peak * math.sqrt(offset / (step + offset))


def _share(step: int, steps: int) -> float:
    return min(1.0, step / max(1, steps))
