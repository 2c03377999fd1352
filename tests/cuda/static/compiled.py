"""What nvcc makes of a family: the resources of its kernels, their machine code, their occupancy.

Everything is kept in the emulator's build folder by the hash of the sources it was made from.
"""

import json
import os
import re
import shutil
import subprocess
import sysconfig
import tempfile
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
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
from tests.triton.ahead_of_time.cubins import attributes

TARGETS = ("sm_80", "sm_90")
# The newest generation that nvcc 13.0 knows: pyllm._cuda has its PTX, tests its machine code too.
NEWEST = "sm_120"
HERE = Path(__file__).parent
_MAX_THREADS = 0x05  # attribute of a kernel with __launch_bounds__: three dimensions

Name = tuple[str, str]  # a kernel, as in `softmax_held<bf16, 8, 4>`, and a target


def compile_source(source: Path, targets: tuple[str, ...] = TARGETS) -> tuple[str, Path]:
    """ptxas' report, and the object with the machine code for every target.

    Raises:
        RuntimeError: nvcc refuses the sources.
    """
    BUILD.mkdir(parents=True, exist_ok=True)
    command = ["nvcc", "-std=c++20", "-O3", "-Xptxas", "-v", "-I", str(KERNELS)]
    for target in targets:
        command += ["-gencode", f"arch={target.replace('sm', 'compute')},code={target}"]
    seen_by_nvcc = {f for f in dependencies(source, set()) if f.parent != EMULATOR}
    report = BUILD / f"{source.stem}-{digest(command, seen_by_nvcc)}.ptxas"
    made = report.with_suffix(".cubins.o")
    if not (report.exists() and made.exists()):
        part = made.with_suffix(f".{os.getpid()}.o")
        done = subprocess.run(
            [*command, "-c", str(source), "-o", str(part)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise RuntimeError(done.stderr)
        part.rename(made)
        report.write_text(done.stderr)
    return report.read_text(), made


def compile_family(family: str, targets: tuple[str, ...] = TARGETS) -> tuple[str, Path]:
    """`compile_source` of a family's launchers."""
    return compile_source(KERNELS / f"{family}.cu", targets)


def compile_families(families: Iterable[str]) -> None:
    """Two at a time, those with most sources first, so that a test run does not wait for each."""
    by_size = sorted(
        families,
        key=lambda f: -sum(s.stat().st_size for s in dependencies(KERNELS / f"{f}.cu", set())),
    )
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(compile_family, by_size))


@cache
def plain_names(mangled: tuple[str, ...]) -> dict[str, str]:
    """Mangled names -> names without namespaces and parameters: `softmax_held<bf16, 8, 4>`."""
    done = subprocess.run(
        ["c++filt"], input="\n".join(mangled), capture_output=True, text=True, check=True
    )
    names = {}
    for symbol, name in zip(mangled, done.stdout.splitlines(), strict=True):
        name = re.sub(r"\(pyllm::cuda::\w+\)", "", name)  # an enumerator is cast to its type
        name = re.sub(r"pyllm::\w+::|^void ", "", name)
        name = re.sub(r"\(.*", "", name)
        name = name.replace("__nv_bfloat16", "bf16").replace("__half", "half").replace("> >", ">>")
        names[symbol] = name
    return names


def named(found: dict[Name, object]) -> dict[Name, object]:
    """The same with plain names in place of the mangled."""
    names = plain_names(tuple(sorted({symbol for symbol, _ in found})))
    plain = {(names[symbol], target): value for (symbol, target), value in found.items()}
    assert len(plain) == len(found), "two kernels of one name"
    return plain


@cache
def resources(family: str, targets: tuple[str, ...] = TARGETS) -> dict[Name, dict[str, int]]:
    """Registers, static shared bytes and spilled bytes of each kernel."""
    report, _ = compile_family(family, targets)
    found = {}
    for entry in re.split(r"Compiling entry function ", report)[1:]:
        name, target = re.match(r"'(\w+)' for '(\w+)'", entry).groups()
        spills = re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", entry)
        found[name, target] = {
            "registers": int(re.search(r"Used (\d+) registers", entry)[1]),
            "shared": int((re.search(r"(\d+) bytes smem", entry) or [0, 0])[1]),
            "spills": int(spills[1]) + int(spills[2]),
        }
    return named(found)


@cache
def cuobjdump() -> str | None:
    """The disassembler: on PATH, or from nvidia-cuda-cuobjdump or Triton."""
    packages = Path(sysconfig.get_path("purelib"))
    places = [packages / "triton/backends/nvidia/bin/cuobjdump"]
    places += sorted(packages.glob("nvidia/*/bin/cuobjdump"))
    return shutil.which("cuobjdump") or next((str(p) for p in places if p.exists()), None)


def instructions_of(made: Path, targets: tuple[str, ...]) -> dict[Name, Counter[str]]:
    """How often each instruction stands in the code of each kernel of an object.

    Instructions carry their modifiers, such as LDG.E.128 or HMMA.16816.F32.BF16.
    """
    kept = made.with_suffix(".sass.json")
    if not kept.exists():
        counts = {}
        for target in targets:
            done = subprocess.run(
                [cuobjdump(), "-sass", "-arch", target, str(made)],
                capture_output=True, text=True, check=True,
            )  # fmt: skip
            for entry in re.split(r"Function : ", done.stdout)[1:]:
                found = re.findall(r"/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+ )?([A-Z][\w.]*)", entry)
                counts[f"{entry.split()[0]} {target}"] = Counter(found)
        kept.write_text(json.dumps(counts))
    stored = json.loads(kept.read_text())
    return named({tuple(key.split()): Counter(counts) for key, counts in stored.items()})


@cache
def instructions(family: str, targets: tuple[str, ...] = TARGETS) -> dict[Name, Counter[str]]:
    """`instructions_of` a family."""
    return instructions_of(compile_family(family, targets)[1], targets)


def count(code: Counter[str], pattern: str) -> int:
    """How many instructions match."""
    return sum(n for name, n in code.items() if re.match(pattern, name))


@cache
def launch_bounds(family: str) -> dict[Name, int]:
    """The most threads a block of each kernel may have, by its __launch_bounds__."""
    _, made = compile_family(family)
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([cuobjdump(), "-xelf", "all", str(made)], cwd=folder, check=True,
                       capture_output=True)  # fmt: skip
        for cubin in Path(folder).iterdir():
            target = re.search(r"sm_\d+", cubin.name)[0]
            for function, attribute, value in attributes(cubin.read_bytes()):
                if attribute == _MAX_THREADS:
                    found[function, target] = int.from_bytes(value[:4], "little")
    return named(found)


@cache
def _occupancy_program() -> Path:
    include = Path(shutil.which("nvcc")).resolve().parents[1] / "include"
    if not (include / "cuda_occupancy.h").exists():  # a wrapper script: nvcc knows its own folder
        said = subprocess.run(["nvcc", "--dryrun", "-c", "x.cu"], capture_output=True, text=True,
                              check=False).stderr  # fmt: skip
        include = Path(re.search(r"^#\$ TOP=(.*)$", said, re.MULTILINE)[1]) / "include"
    source = HERE / "occupancy.cpp"
    command = [compiler(), "-std=c++20", "-O1", "-w", "-idirafter", str(include), str(source)]
    made = BUILD / f"occupancy-{digest(command, dependencies(source, set()))}"
    if not made.exists():
        subprocess.run([*command, "-o", str(made)], check=True)
    return made


@cache
def occupancy(target: str, registers: int, shared: int, dynamic: int, threads: int) -> int:
    """Blocks that are resident on one multiprocessor, by NVIDIA's calculator."""
    numbers = [int(target.removeprefix("sm_")), registers, shared, dynamic, threads]
    done = subprocess.run(
        [_occupancy_program(), *map(str, numbers)], capture_output=True, text=True, check=True
    )
    return int(done.stdout)
