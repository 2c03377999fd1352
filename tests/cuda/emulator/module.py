"""pyllm._cuda over the emulator: two devices in host memory, and a cuBLASLt of our own."""

import ctypes
import importlib.util
import os
import sys
from functools import cache
from types import ModuleType

from tests.cuda.emulator.build import MODULE, build_cublaslt, build_module


@cache
def emulated_module() -> ModuleType:
    """The extension module, built on first use."""
    os.environ["PYLLM_CUBLASLT"] = str(build_cublaslt())
    spec = importlib.util.spec_from_file_location(MODULE, build_module())
    module = importlib.util.module_from_spec(spec)
    sys.modules[MODULE] = module
    spec.loader.exec_module(module)
    return module


class Runtime:
    """The emulated CUDA runtime's controls."""

    def __init__(self):
        self.library = ctypes.CDLL(emulated_module().__file__)
        self.library.emu_runtime_in_use.restype = ctypes.c_size_t
        self.library.emu_runtime_log.restype = ctypes.c_char_p
        self.library.emu_runtime_make_stream.restype = ctypes.c_void_p
        self.library.emu_runtime_set_memory_limit.argtypes = [ctypes.c_size_t]

    @property
    def in_use(self) -> int:
        """Bytes allocated and not freed."""
        return self.library.emu_runtime_in_use()

    def make_stream(self, device: int = 0) -> int:
        return self.library.emu_runtime_make_stream(device)

    def log(self) -> list[tuple[str, int, int]]:
        """What streams have waited for since the last call: ("wait", stream, for which)."""
        lines = self.library.emu_runtime_log().decode().splitlines()
        return [(what, int(s), int(other)) for what, s, other in (x.split() for x in lines)]

    def set_devices(self, count: int) -> None:
        self.library.emu_runtime_set_devices(count)

    def set_driver(self, version: int) -> None:
        self.library.emu_runtime_set_driver(version)

    def set_memory_limit(self, size: int) -> None:
        self.library.emu_runtime_set_memory_limit(size)


class CublasLt:
    """What the fake cuBLASLt has been asked."""

    def __init__(self):
        self.library = ctypes.CDLL(str(build_cublaslt()))
        self.library.emu_cublaslt_log.restype = ctypes.c_char_p

    def log(self) -> list[str]:
        """The products since the last call; see fake_cublaslt.cpp for a line's fields."""
        return self.library.emu_cublaslt_log().decode().splitlines()

    @property
    def heuristics(self) -> int:
        return self.library.emu_cublaslt_heuristics()

    @property
    def alive(self) -> int:
        """Descriptors, layouts and preferences not destroyed."""
        return self.library.emu_cublaslt_alive()
