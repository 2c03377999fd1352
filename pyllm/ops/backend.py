"""Which module serves an array: by where the array lives, or as the caller chose."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import ModuleType
from typing import Any, Literal, TypeAlias

import numpy as np

from pyllm import _cpu, kernels

Backend: TypeAlias = Literal["auto", "triton"]

_DLPACK_CPU = (1, 3)  # CPU, and CUDA-pinned host memory
_DLPACK_CUDA = 2
_everywhere: Backend = "auto"
_here: ContextVar[Backend | None] = ContextVar("backend", default=None)


def set_backend(backend: Backend) -> None:
    """Choose the back end of all ops, in all threads.

    Args:
        backend: "auto" goes by where an op's array lives; "triton" has the Triton kernels serve
            torch CUDA tensors (extra `triton`), and CPU tensors too where TRITON_INTERPRET=1 was
            set before they were first used.

    Raises:
        ValueError: another name.
        ImportError: torch or Triton is not installed.
    """
    global _everywhere
    _everywhere = _checked(backend)


@contextmanager
def use_backend(backend: Backend) -> Iterator[None]:
    """`set_backend` for the block and this thread alone: `with ops.use_backend("triton"): ...`"""
    token = _here.set(_checked(backend))
    try:
        yield
    finally:
        _here.reset(token)


def backend_of(array: Any) -> ModuleType:
    """The module whose kernels serve `array`.

    Raises:
        TypeError: the array lives on a device no back end of this installation serves.
    """
    if (_here.get() or _everywhere) == "triton":
        return kernels.load_triton()
    if type(array) is np.ndarray:
        return _cpu
    device = getattr(array, "__dlpack_device__", None)
    if device is None or device()[0] in _DLPACK_CPU:
        return _cpu  # which names the argument if it is no array at all
    if device()[0] == _DLPACK_CUDA and kernels.triton_serves(array):
        return kernels.load_triton()
    raise TypeError(
        f"an array on DLPack device type {int(device()[0])} was given; this installation of pyllm "
        "computes on the CPU, and with the extra 'triton' on torch CUDA tensors"
    )


def _checked(backend: Backend) -> Backend:
    if backend not in ("auto", "triton"):
        raise ValueError(f"backend: expected 'auto' or 'triton', got {backend!r}")
    if backend == "triton":
        kernels.load_triton()
    return backend
