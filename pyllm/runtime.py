"""How the kernels run: threads and instruction set."""

from pyllm import _cpu


def set_num_threads(n: int) -> None:
    """Let kernels and matrix products use `n` threads (the default: OMP_NUM_THREADS, else all
    CPUs this process may run on).

    Raises:
        ValueError: `n` is below 1.
    """
    _cpu.set_num_threads(n)


def get_num_threads() -> int:
    """Threads that kernels and matrix products use."""
    return _cpu.num_threads()


def get_isa() -> str:
    """Instruction set in use: "baseline", "avx2", "avx512" or "neon".

    The best one the CPU has, unless the environment variable PYLLM_ISA names another.
    """
    return _cpu.isa()
