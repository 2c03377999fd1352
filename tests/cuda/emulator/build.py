"""Builds the emulator and the CUDA sources into one executable per variant, with g++ alone.

plain: optimised. asan: AddressSanitizer and UndefinedBehaviorSanitizer. tsan: ThreadSanitizer, in
kernels only, since the emulator's own bookkeeping is one host thread's business.

Objects are kept under build/cuda-emulator by the hash of what they were made from.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
EMULATOR = Path(__file__).resolve().parent
KERNELS = ROOT / "kernels" / "cuda"
BUILD = ROOT / "build" / "cuda-emulator"

COMMON = [
    "-std=c++20",
    "-g1",
    "-Wall",
    "-Wextra",
    "-Wno-unknown-pragmas",
    "-fno-tree-loop-distribute-patterns",
    "-fno-omit-frame-pointer",
]
# Per variant: flags of the emulator itself, flags of the kernels.
VARIANTS = {
    "plain": (["-O2"], ["-O2"]),
    "asan": (
        ["-O1", "-DEMU_ASAN", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
        ["-O1", "-DEMU_ASAN", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
    ),
    "tsan": (["-O2", "-DEMU_TSAN"], ["-O1", "-DEMU_TSAN", "-fsanitize=thread"]),
}
LINK = {"plain": [], "asan": ["-fsanitize=address,undefined"], "tsan": ["-fsanitize=thread"]}
INCLUDES = ["-I", str(EMULATOR), "-I", str(KERNELS)]


def compiler() -> str | None:
    """A g++ that this machine has, if the emulator runs here at all (x86-64 Linux)."""
    if os.uname().sysname != "Linux" or os.uname().machine != "x86_64":
        return None
    return os.environ.get("PYLLM_EMULATOR_CXX") or shutil.which("g++")


def dependencies(source: Path, seen: set[Path]) -> set[Path]:
    """The source and what it includes of ours."""
    if source in seen:
        return seen
    seen.add(source)
    for name in re.findall(r'^#include "([^"]+)"', source.read_text(), re.MULTILINE):
        for folder in (source.parent, EMULATOR, KERNELS):
            if (folder / name).exists():
                dependencies(folder / name, seen)
                break
    return seen


def digest(command: list[str], files: set[Path]) -> str:
    """What the result of running this command on these files is kept under."""
    content = hashlib.sha256("\0".join(command).encode())
    for file in sorted(files):
        content.update(file.read_bytes())
    return content.hexdigest()[:20]


def _compile(source: Path, flags: list[str]) -> Path:
    command = [compiler(), *COMMON, *flags, *INCLUDES, "-x", "c++", "-c", str(source)]
    target = BUILD / f"{source.stem}-{digest(command, dependencies(source, set()))}.o"
    if not target.exists():
        part = target.with_suffix(f".o.{os.getpid()}")
        _run([*command, "-o", str(part)])
        part.rename(target)
    return target


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}\n{done.stderr}")


def build(variant: str, kernels: list[Path]) -> Path:
    """The executable that serves the launchers of these .cu files."""
    BUILD.mkdir(parents=True, exist_ok=True)
    runtime_flags, kernel_flags = VARIANTS[variant]
    with (BUILD / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with ThreadPoolExecutor(2) as pool:
            jobs = [
                pool.submit(_compile, source, flags)
                for sources, flags in (
                    (kernels, kernel_flags),
                    (sorted(EMULATOR.glob("*.cpp")), runtime_flags),
                )
                for source in sources
            ]
            objects = sorted(job.result() for job in jobs)
        command = [compiler(), *LINK[variant], "-rdynamic", *map(str, objects), "-ldl"]
        target = BUILD / f"host-{variant}-{digest(command, set(objects))}"
        if not target.exists():
            part = target.with_suffix(f".{os.getpid()}")
            _run([*command, "-o", str(part)])
            part.rename(target)
    return target
