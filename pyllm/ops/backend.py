"""Which extension module serves an array: by where the array lives."""

from types import ModuleType
from typing import Any

import numpy as np

from pyllm import _cpu

_DLPACK_CPU = (1, 3)  # CPU, and CUDA-pinned host memory


def backend_of(array: Any) -> ModuleType:
    """The module whose kernels serve `array`.

    Raises:
        TypeError: the array lives on a device no back end of this build serves.
    """
    if type(array) is np.ndarray:
        return _cpu
    device = getattr(array, "__dlpack_device__", None)
    if device is None or device()[0] in _DLPACK_CPU:
        return _cpu  # which names the argument if it is no array at all
    raise TypeError(
        f"an array on DLPack device type {int(device()[0])} was given; this build of pyllm "
        "computes on the CPU only"
    )
