"""Measuring on a CUDA device: whether there is one, its limits, and time that waits for it."""

import importlib.util
import statistics
import time
from collections.abc import Callable
from typing import Any

from pyllm import cuda, ops
from pyllm.bench.case import Case
from pyllm.bench.ceilings import Ceilings

_ROUNDS = 10


class DeviceProbe:
    """A copy on the device that moves as many bytes as a case must."""

    def __init__(self, moved: float) -> None:
        import torch

        self._source = torch.empty(max(int(moved) // 2, 1), dtype=torch.uint8, device="cuda")
        self._target = torch.empty_like(self._source)
        self.bytes = 2 * self._source.numel()

    def __call__(self) -> None:
        self._target.copy_(self._source)


class DeviceCeilings(Ceilings):
    """`flops`: of a bfloat16 matrix product."""

    def probe(self, case: Case) -> DeviceProbe | None:  # type: ignore[override]
        return DeviceProbe(case.bytes) if case.bytes else None


def why_no_device() -> str | None:
    """What keeps the GPU benchmarks from running here; None if nothing does."""
    if importlib.util.find_spec("torch") is None:
        return "the peers need torch: pip install 'pyllm[bench]'"
    import torch

    if not cuda.is_available():
        return f"pyllm's CUDA kernels: {cuda.describe()}"
    if not torch.cuda.is_available():
        return f"torch {torch.__version__} sees no CUDA device"
    return None


def synchronize() -> None:
    """Wait for everything queued on the current device."""
    import torch

    torch.cuda.synchronize()


def measure_device_ceilings() -> Ceilings:
    """The median rate of a large bfloat16 matrix product."""
    import torch

    n = 8192
    a, b = (torch.randn(n, n, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    a @ b
    times = []
    for _ in range(_ROUNDS):
        synchronize()
        start = time.perf_counter()
        a @ b
        synchronize()
        times.append(time.perf_counter() - start)
    return DeviceCeilings(2 * n**3 / statistics.median(times))


def by_triton(call: Callable[[], Any]) -> dict[str, Callable[[], Any]]:
    """A side of a case: the same call through our Triton kernels, where triton is installed."""

    def run() -> Any:
        with ops.use_backend("triton"):
            return call()

    return {"pyllm, Triton": run} if importlib.util.find_spec("triton") else {}
