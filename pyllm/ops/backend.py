"""Which module serves an array: by where the array lives, or as the caller chose."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import ModuleType
from typing import Any, Literal, TypeAlias

import numpy as np

from pyllm import _cpu, cuda, kernels

Backend: TypeAlias = Literal["auto", "triton"]

_DLPACK_CPU = (1, 3)  # CPU, and CUDA-pinned host memory
_DLPACK_CUDA = (2, 13)  # device memory, and memory that moves by itself
_everywhere: Backend = "auto"
_here: ContextVar[Backend | None] = ContextVar("backend", default=None)


def set_backend(backend: Backend) -> None:
    """Choose the back end of all ops, in all threads.

    Args:
        backend: "auto" goes by where an op's array lives; "triton" has the Triton kernels serve
            torch CUDA tensors (extra `triton`), and CPU tensors too where TRITON_INTERPRET=1 was
            set before they were first used. Without torch or Triton, and for arrays of other kinds
            on a device, the kernels that a build with PYLLM_TRITON_AOT=ON holds, and the CUDA
            kernels where none of those suits.

    Raises:
        ValueError: another name.
        ImportError: torch or Triton is not installed, and no Triton kernels were built in.
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
        return _triton_for(array)
    if type(array) is np.ndarray:
        return _cpu
    kind = _device_type(array)
    if kind in _DLPACK_CPU:
        return _cpu  # which names the argument if it is no array at all
    if kind in _DLPACK_CUDA:
        if (extension := cuda.extension()) is not None:
            return extension
        if kernels.triton_serves(array):
            return kernels.load_triton()
    raise TypeError(
        f"an array on DLPack device type {kind} was given; this installation of pyllm computes on "
        f"the CPU, and with the extra 'triton' on torch CUDA tensors (CUDA: {cuda.describe()})"
    )


def _checked(backend: Backend) -> Backend:
    if backend not in ("auto", "triton"):
        raise ValueError(f"backend: expected 'auto' or 'triton', got {backend!r}")
    if backend == "triton" and _embedded() is None:
        kernels.load_triton()
    return backend


def _embedded() -> ModuleType | None:
    """The Triton kernels inside pyllm._cuda, if it was built with them."""
    extension = cuda.extension()
    if extension is None or extension.triton.count() == 0:
        return None
    embedded: ModuleType = extension.triton
    return embedded


def _triton_for(array: Any) -> ModuleType:
    """Triton's own compiler, which tunes, for torch tensors where it is there."""
    embedded = _embedded()
    is_torch = type(array).__module__.partition(".")[0] == "torch"
    if embedded is None or (is_torch and not kernels.missing_for_triton()):
        return kernels.load_triton()
    if _device_type(array) not in _DLPACK_CUDA:
        raise TypeError(
            "the Triton back end built into pyllm takes arrays on a CUDA device, got "
            f"{type(array).__name__} elsewhere"
        )
    return embedded


def _device_type(array: Any) -> int:
    """As DLPack numbers them; the CPU's for what is no array."""
    device = getattr(array, "__dlpack_device__", None)
    if device is not None:
        return int(device()[0])
    return 2 if hasattr(array, "__cuda_array_interface__") else 1
