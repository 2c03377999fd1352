"""Settings that are numbers: an error names the setting, what it was and what was expected."""

import numbers
from typing import Any


def require_whole(name: str, value: Any, low: int, high: int | None = None) -> None:
    """Raises TypeError for what is no whole number, ValueError for one out of range."""
    if not isinstance(value, numbers.Integral):
        raise TypeError(f"{name}: expected a whole number, got {value!r}")
    if int(value) < low or (high is not None and int(value) > high):
        limit = f"at least {low}" if high is None else f"{low} to {high}"
        raise ValueError(f"{name}: expected {limit}, got {value}")


def require_number(name: str, value: Any) -> None:
    """Raises TypeError for what is no real number."""
    if not isinstance(value, numbers.Real):
        raise TypeError(f"{name}: expected a number, got {value!r}")
