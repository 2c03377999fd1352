"""The caching allocator behind the arrays that pyllm returns."""

from typing import TypedDict, cast

from pyllm import _cpu
from pyllm.device_array import is_on_device, module_of
from pyllm.ops.types import Array


class MemoryStats(TypedDict):
    """Bytes, but for the last: how many blocks were taken from the operating system so far."""

    in_use: int
    cached: int
    peak_in_use: int
    system_allocations: int


def stats() -> MemoryStats:
    """What the allocator holds now."""
    return cast(MemoryStats, _cpu.memory_stats())


def reset_peak() -> None:
    """Start a new measurement of `peak_in_use`."""
    _cpu.reset_peak_memory()


def empty_cache() -> None:
    """Give blocks that are kept for reuse back to the operating system."""
    _cpu.empty_cache()


def empty_like(like: Array, shape: tuple[int, ...]) -> Array:
    """An array of this shape, dtype and framework as `like`, from the caching allocator.

    Its content is whatever the block held.
    """
    if is_on_device(like):
        return module_of(like).empty_like(like, shape)
    return _cpu.empty_like(like, shape)
