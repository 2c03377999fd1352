"""Learning rates as functions of the step (0 for the first)."""

import math
from collections.abc import Callable
from typing import Literal, TypeAlias

Schedule: TypeAlias = Callable[[int], float]
Shape: TypeAlias = Literal["linear", "exponential", "cosine"]


def warm_up(
    after: Schedule, peak: float, steps: int, shape: Shape = "linear", start: float | None = None
) -> Schedule:
    """Rise to peak over `steps`, then `after`, whose steps count from there.

    Args:
        shape: "linear"; "exponential", by a constant factor a step; "cosine", half a cosine.
        start: the rate before the first step, which takes one rise from there: 0 by default,
            peak / 100 for the exponential.

    Raises:
        ValueError: an unknown shape, or an exponential rise from 0.
    """
    low = (peak / 100 if shape == "exponential" else 0.0) if start is None else start
    if shape not in ("linear", "exponential", "cosine"):
        raise ValueError(f"shape: expected linear, exponential or cosine, got {shape!r}")
    if shape == "exponential" and not low > 0:
        raise ValueError(f"start: an exponential rise needs a positive one, got {low}")

    def rate(step: int) -> float:
        if step >= steps:
            return after(step - steps)
        share = (step + 1) / steps
        if shape == "exponential":
            return low * (peak / low) ** share
        if shape == "cosine":
            share = (1 - math.cos(math.pi * share)) / 2
        return low + (peak - low) * share

    return rate


def constant(peak: float) -> Schedule:
    return lambda step: peak


def step_decay(peak: float, every: int, factor: float = 0.1) -> Schedule:
    """peak, multiplied by `factor` once each `every` steps."""
    return lambda step: peak * factor ** (step // every)


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
