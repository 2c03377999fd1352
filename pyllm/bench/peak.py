"""Peak memory of one side of a case, in a process of its own: what another side has freed stays
resident in the process that measures times, and would hide what the next one takes.

    python -m pyllm.bench.peak CASE SIDE THREADS

prints the bytes resident above the start, once inputs are there, at the highest of two calls: what
the first leaves behind (the moments of an optimizer) counts beside what the second needs.
"""

import gc
import importlib.util
import subprocess
import sys
from pathlib import Path

from pyllm.bench.case import Case, load_cases


def peak_memory(case: Case, side: str, threads: int) -> int:
    """Bytes above the start, measured in a child process.

    Raises:
        RuntimeError: the child failed; says how.
    """
    command = [sys.executable, "-m", "pyllm.bench.peak", case.name, side, str(threads)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"measuring the memory of {case.name!r}, {side}: {done.stderr.strip()}")
    return int(done.stdout.split()[-1])


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {field}")


def _measure(name: str, side: str, threads: int) -> int:
    import pyllm

    pyllm.set_num_threads(threads)
    if importlib.util.find_spec("torch"):
        import torch

        torch.set_num_threads(threads)
        # What a framework sets up at its first product and gradient is not the case's.
        square = torch.ones(64, 64, requires_grad=True)
        (square @ square).sum().backward()
    cases = load_cases(match=name, leave_out=lambda *_: None)
    (case,) = (case for case in cases if case.name == name)
    run = case.sides()[side]
    gc.collect()
    pyllm.memory.empty_cache()
    Path("/proc/self/clear_refs").write_text("5")  # the highest mark so far is forgotten
    start = _status("VmRSS")
    run()
    run()
    return max(_status("VmHWM") - start, 0)


if __name__ == "__main__":
    print(_measure(sys.argv[1], sys.argv[2], int(sys.argv[3])))
