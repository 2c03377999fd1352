"""CUDA devices: whether they can be used, arrays on them, their memory.

Ops take arrays of torch, CuPy and JAX that live on a device as they are. `to_device` makes arrays
without any of these.
"""

import importlib
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np

from pyllm.device_array import equip, is_on_device


@cache
def extension() -> ModuleType | None:
    """pyllm._cuda, or None where pyllm was built without CUDA."""
    try:
        return importlib.import_module("pyllm._cuda")
    except ModuleNotFoundError as missing:
        if missing.name != "pyllm._cuda":
            raise
        return None


def describe() -> str:
    """ "yes: " and the devices, or "no: " and why not."""
    module = extension()
    if module is None:
        return "no: built without CUDA (nvcc was not found, or PYLLM_CUDA=OFF)"
    return str(module.describe())


def is_available() -> bool:
    """Whether there is a device that ops can run on."""
    module = extension()
    return module is not None and module.device_count() > 0


def to_device(array: np.ndarray, device: int = 0) -> Any:
    """A copy of a NumPy array on a device, as a DeviceArray.

    It has `shape`, `dtype`, `numpy()` for the way back, `__dlpack__` and
    `__cuda_array_interface__`; ops on it return arrays of its kind.

    Raises:
        RuntimeError: pyllm was built without CUDA, or there is no such device.
        MemoryError: the device's memory does not suffice.
    """
    module = required()
    equip(module.DeviceArray)
    return module.to_device(array, device)


def require_device(device: str) -> None:
    """Raises: ValueError: not "cpu", "cuda" or "cuda:N", or this machine has no such device."""
    number = _number_of(device)
    if number is None:
        return
    module = extension()
    count = 0 if module is None else module.device_count()
    if number >= count:
        why = f"there are {count}" if count else describe().removeprefix("no: ")
        raise ValueError(f"device: {device} cannot be used: {why}")


def move(array: Any, device: str) -> Any:
    """An array of the CPU or of a device where `device` says: "cpu", "cuda" or "cuda:N".

    Raises:
        ValueError: no such name.
        RuntimeError, MemoryError: as `to_device`.
    """
    number = _number_of(device)
    if (array.device if is_on_device(array) else None) == number:
        return array
    host = array.numpy() if is_on_device(array) else array
    return host if number is None else to_device(host, number)


def _number_of(device: str) -> int | None:
    """None for "cpu". Raises: ValueError: not "cpu", "cuda" or "cuda:N"."""
    if device == "cpu":
        return None
    kind, colon, number = device.partition(":")
    if kind != "cuda" or (colon and not number.isdigit()):
        raise ValueError(f"device: expected 'cpu', 'cuda' or 'cuda:N', got {device!r}")
    return int(number or 0)


def device_of(array: Any) -> str:
    """ "cpu", or "cuda:" and the device's number."""
    return f"cuda:{array.device}" if is_on_device(array) else "cpu"


def memory_stats(device: int = 0) -> dict[str, int]:
    """Bytes `in_use` by arrays that pyllm made, and `reserved` for them."""
    stats: dict[str, int] = required().memory_stats(device)
    return stats


def empty_cache(device: int = 0) -> None:
    """Give the memory that no array uses back to the device."""
    required().empty_cache(device)


def required() -> ModuleType:
    """pyllm._cuda.

    Raises:
        RuntimeError: pyllm was built without CUDA.
    """
    module = extension()
    if module is None:
        raise RuntimeError(f"CUDA: {describe().removeprefix('no: ')}")
    return module
