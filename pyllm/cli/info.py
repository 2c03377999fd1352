"""`pyllm info`: what this installation is and what it can use, on one screen."""

import importlib.metadata
import importlib.util
import platform
from pathlib import Path

from rich.console import Console
from rich.table import Table

import pyllm
from pyllm import _cpu, cuda


def info() -> None:
    """Show version, instruction set, threads, BLAS, GPU back ends and optional packages."""
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="bold")
    table.add_column()
    for name, text in facts().items():
        table.add_row(name, text)
    Console().print(table)


def facts() -> dict[str, str]:
    """What `pyllm info` prints, line by line."""
    available = _cpu.available_isas()
    return {
        "pyllm": f"{pyllm.__version__}  ({Path(pyllm.__file__).parent})",
        "Python": f"{platform.python_version()}, NumPy {importlib.metadata.version('numpy')}",
        "CPU": f"{_cpu_name()} ({platform.machine()})",
        "Instruction set": f"{_cpu.isa()}  (of {', '.join(available)}; PYLLM_ISA forces one)",
        "Threads": f"{_cpu.num_threads()}  (OMP_NUM_THREADS or pyllm.set_num_threads)",
        "BLAS": _cpu.blas_config(),
        "CUDA": cuda.describe(),
        "Triton": triton_state(),
        "Optional": ", ".join(_optional_packages()),
    }


def triton_state() -> str:
    """Whether Triton kernels can run here, and if not, why not; which are built in."""
    extension = cuda.extension()
    if extension is not None and extension.triton.count() > 0:
        return f"{_compiler_state()}; built in: {extension.triton.describe()}"
    return _compiler_state()


def _compiler_state() -> str:
    if importlib.util.find_spec("triton") is None:
        return "no: triton is not installed"
    version = importlib.metadata.version("triton")
    if not Path("/proc/driver/nvidia/version").exists():
        return f"no: triton {version} is installed, but there is no NVIDIA driver"
    return f"yes: triton {version}"


def _cpu_name() -> str:
    path = Path("/proc/cpuinfo")
    if path.exists():
        for line in path.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown"


def _optional_packages() -> list[str]:
    names = ("torch", "transformers", "jax", "scikit-learn", "matplotlib", "triton")
    lines = []
    for name in names:
        try:
            lines.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            lines.append(f"{name} (not installed)")
    return lines
