"""What nvcc makes of a family: the resources of its kernels, their machine code, their occupancy.

Everything is kept in the emulator's build folder by the hash of the sources it was made from.
"""

import json
import re
import shutil
import subprocess
import sysconfig
from collections import Counter
from functools import cache
from pathlib import Path

from tests.cuda.emulator.build import (
    BUILD,
    EMULATOR,
    KERNELS,
    compiler,
    dependencies,
    digest,
)

TARGETS = ("sm_80", "sm_90")
HERE = Path(__file__).parent


def compile_family(family: str) -> tuple[str, Path]:
    """ptxas' report, and the object with the machine code for every target.

    Raises:
        RuntimeError: nvcc refuses the sources.
    """
    BUILD.mkdir(parents=True, exist_ok=True)
    source = KERNELS / f"{family}.cu"
    command = ["nvcc", "-std=c++20", "-O3", "-Xptxas", "-v", "-I", str(KERNELS)]
    for target in TARGETS:
        command += ["-gencode", f"arch={target.replace('sm', 'compute')},code={target}"]
    report = BUILD / f"{family}-{digest(command, dependencies(source, set()))}.ptxas"
    made = report.with_suffix(".cubins.o")
    if not (report.exists() and made.exists()):
        done = subprocess.run(
            [*command, "-c", str(source), "-o", str(made)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise RuntimeError(done.stderr)
        report.write_text(done.stderr)
    return report.read_text(), made


@cache
def resources(family: str) -> dict[tuple[str, str], dict[str, int]]:
    """Kernel's mangled name and target -> registers, static shared bytes, spilled bytes."""
    report, _ = compile_family(family)
    found = {}
    for entry in re.split(r"Compiling entry function ", report)[1:]:
        name, target = re.match(r"'(\w+)' for '(\w+)'", entry).groups()
        spills = re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", entry)
        found[name, target] = {
            "registers": int(re.search(r"Used (\d+) registers", entry)[1]),
            "shared": int((re.search(r"(\d+) bytes smem", entry) or [0, 0])[1]),
            "spills": int(spills[1]) + int(spills[2]),
        }
    return found


@cache
def cuobjdump() -> str | None:
    """The disassembler: on PATH, or from nvidia-cuda-cuobjdump or Triton."""
    packages = Path(sysconfig.get_path("purelib"))
    places = [packages / "triton/backends/nvidia/bin/cuobjdump"]
    places += sorted(packages.glob("nvidia/*/bin/cuobjdump"))
    return shutil.which("cuobjdump") or next((str(p) for p in places if p.exists()), None)


@cache
def instructions(family: str) -> dict[tuple[str, str], Counter[str]]:
    """Kernel's mangled name and target -> how often each instruction stands in its code.

    Instructions carry their modifiers, such as LDG.E.128 or HMMA.16816.F32.BF16.
    """
    _, made = compile_family(family)
    kept = made.with_suffix(".sass.json")
    if not kept.exists():
        counts = {}
        for target in TARGETS:
            done = subprocess.run(
                [cuobjdump(), "-sass", "-arch", target, str(made)],
                capture_output=True, text=True, check=True,
            )  # fmt: skip
            for entry in re.split(r"Function : ", done.stdout)[1:]:
                found = re.findall(r"/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+ )?([A-Z][\w.]*)", entry)
                counts[f"{entry.split()[0]} {target}"] = Counter(found)
        kept.write_text(json.dumps(counts))
    stored = json.loads(kept.read_text())
    return {tuple(key.split()): Counter(counts) for key, counts in stored.items()}


def count(code: Counter[str], pattern: str) -> int:
    """How many instructions match."""
    return sum(n for name, n in code.items() if re.match(pattern, name))


@cache
def _occupancy_program() -> Path:
    include = Path(shutil.which("nvcc")).resolve().parents[1] / "include"
    if not (include / "cuda_occupancy.h").exists():  # a wrapper script: nvcc knows its own folder
        said = subprocess.run(["nvcc", "--dryrun", "-c", "x.cu"], capture_output=True, text=True,
                              check=False).stderr  # fmt: skip
        include = Path(re.search(r"^#\$ TOP=(.*)$", said, re.MULTILINE)[1]) / "include"
    source = HERE / "occupancy.cpp"
    command = [compiler(), "-std=c++20", "-O1", "-w", "-idirafter", str(include)]
    command += ["-I", str(EMULATOR), "-I", str(KERNELS), str(source)]
    made = BUILD / f"occupancy-{digest(command, dependencies(source, set()))}"
    if not made.exists():
        subprocess.run([*command, "-o", str(made)], check=True)
    return made


def occupancy(target: str, registers: int, shared: int, dynamic: int, threads: int) -> int:
    """Blocks that are resident on one multiprocessor, by NVIDIA's calculator."""
    numbers = [int(target.removeprefix("sm_")), registers, shared, dynamic, threads]
    return _ask_occupancy_program(*map(str, numbers))


def dynamic_shared(kernel: str) -> int:
    """Bytes of dynamic shared memory that a launcher asks for, as the headers compute it."""
    return _ask_occupancy_program(kernel)


def _ask_occupancy_program(*words: str) -> int:
    done = subprocess.run(
        [_occupancy_program(), *words], capture_output=True, text=True, check=True
    )
    return int(done.stdout)
