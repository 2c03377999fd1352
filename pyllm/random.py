"""The random state of the process: one seed, from which every draw gets its place.

Kernels draw from Philox streams (seed, stream): a dropout mask depends on these two numbers alone,
not on threads or order. `next_stream` hands out the streams; the whole state is two integers.
"""

from typing import Any

import numpy as np

_state = {"seed": 0, "stream": 0}


def seed(value: int) -> None:
    """Start anew from a seed.

    Raises:
        ValueError: it is negative or needs more than 64 bits.
    """
    if not 0 <= value < 1 << 64:
        raise ValueError(f"seed: expected 0 <= seed < 2**64, got {value}")
    _state.update(seed=value, stream=0)


def next_stream() -> tuple[int, int]:
    """(seed, stream) of the next random operation."""
    _state["stream"] += 1
    return _state["seed"], _state["stream"]


def generator() -> np.random.Generator:
    """A NumPy generator on the next stream, for initial weights."""
    return np.random.Generator(np.random.Philox(key=list(next_stream())))


def get_state() -> dict[str, Any]:
    """What `set_state` needs to continue from here."""
    return dict(_state)


def set_state(state: dict[str, Any]) -> None:
    """Continue where `get_state` was called."""
    _state.update(seed=int(state["seed"]), stream=int(state["stream"]))
