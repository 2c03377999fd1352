"""Builds the emulator and the CUDA sources into one executable per variant, with g++ alone.

Or, with the bindings of csrc/bindings_cuda and a CUDA runtime over host memory, into an extension
module: pyllm._cuda for a machine without a GPU.

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
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pybind11

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
    "plain": (["-O2", "-fPIC"], ["-O2", "-fPIC"]),
    "asan": (
        ["-O1", "-DEMU_ASAN", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
        ["-O1", "-DEMU_ASAN", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
    ),
    "tsan": (["-O2", "-DEMU_TSAN"], ["-O1", "-DEMU_TSAN", "-fsanitize=thread"]),
}
LINK = {"plain": [], "asan": ["-fsanitize=address,undefined"], "tsan": ["-fsanitize=thread"]}
INCLUDES = ["-I", str(EMULATOR), "-I", str(KERNELS)]

CSRC = ROOT / "csrc"
RUNTIME = EMULATOR / "runtime"
MODULE = "_cuda_emulated"
SHARED_BINDINGS = (
    "argument",
    "attention_arrays",
    "attention_scalars",
    "dlpack_capsule",
    "framework",
    "matmul_views",
    "numpy_dtype",
    "tree_growth",
)
SHARED_TREES = ("feature_choice", "node_sums", "sampling")


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
        for folder in (source.parent, EMULATOR, KERNELS, CSRC):
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
    runtime_flags, kernel_flags = VARIANTS[variant]
    jobs = [(source, kernel_flags) for source in kernels]
    jobs += [(source, runtime_flags) for source in sorted(EMULATOR.glob("*.cpp"))]
    return _link(f"host-{variant}", "", jobs, [*LINK[variant], "-rdynamic"])


def build_module() -> Path:
    """The extension module `MODULE`: the bindings, all kernels, the emulator and its runtime."""
    runtime_flags, kernel_flags = VARIANTS["plain"]
    python = ["-isystem", sysconfig.get_path("include"), "-isystem", pybind11.get_include()]
    bindings = [CSRC / "bindings" / f"{name}.cpp" for name in SHARED_BINDINGS]
    bindings += [CSRC / "cpu" / "trees" / f"{name}.cpp" for name in SHARED_TREES]
    bindings += sorted((CSRC / "bindings_cuda").glob("*.cpp"))
    bindings.remove(CSRC / "bindings_cuda" / "embedded_none.cpp")
    bindings.append(RUNTIME / "embedded_table.cpp")
    flags = ["-O1", "-fPIC", "-fvisibility=hidden", f"-DPYLLM_CUDA_MODULE={MODULE}"]
    flags += ["-I", str(CSRC), "-I", str(RUNTIME), *python]
    jobs = [(source, flags) for source in bindings]
    jobs += [(source, kernel_flags) for source in sorted(KERNELS.glob("*.cu"))]
    emulator = [s for s in sorted(EMULATOR.glob("*.cpp")) if s.name != "host.cpp"]
    jobs.append((RUNTIME / "runtime.cpp", [*runtime_flags, "-I", str(RUNTIME)]))
    jobs += [(source, runtime_flags) for source in emulator]
    return _link(MODULE, ".so", jobs, ["-shared"])


def build_cublaslt() -> Path:
    """The stand-in for libcublasLt.so that tests multiply with."""
    return _link("cublaslt", ".so", [(RUNTIME / "fake_cublaslt.cpp", VARIANTS["plain"][0])],
                 ["-shared"])  # fmt: skip


def build_driver() -> Path:
    """The stand-in for libcuda.so.1, which hands launches to the test."""
    return _link("driver", ".so", [(RUNTIME / "fake_driver.cpp", VARIANTS["plain"][0])],
                 ["-shared"])  # fmt: skip


def build_triton_table() -> Path:
    """The Triton kernels of a build with PYLLM_TRITON_AOT, as a library; needs triton.

    For sm_90 alone but for softmax, which has all targets: compiling is what takes the time.
    """
    made = BUILD / "triton"
    script = [sys.executable, str(ROOT / "scripts" / "embed_triton.py"), str(made)]
    script += ["--only", "90", "--but", "softmax"]
    BUILD.mkdir(parents=True, exist_ok=True)
    with (BUILD / "triton-lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _run(script)
    flags = ["-O1", "-fPIC", "-I", str(CSRC)]
    # The assembler reads embedded.bin, which no #include says: the hash of its content stands in.
    image = hashlib.sha256((made / "embedded.bin").read_bytes()).hexdigest()[:20]
    jobs = [(made / "embedded_table.cpp", [*flags, f"-DEMBEDDED={image}"])]
    jobs.append((RUNTIME / "export_table.cpp", flags))
    return _link("triton-table", ".so", jobs, ["-shared"])


def _link(name: str, suffix: str, jobs: list[tuple[Path, list[str]]], flags: list[str]) -> Path:
    """Compile each source with its flags, as far as it has changed, and link them all."""
    BUILD.mkdir(parents=True, exist_ok=True)
    with (BUILD / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with ThreadPoolExecutor(2) as pool:
            objects = sorted(pool.map(lambda job: _compile(*job), jobs))
        command = [compiler(), *flags, *map(str, objects), "-ldl"]
        target = BUILD / f"{name}-{digest(command, set(objects))}{suffix}"
        if not target.exists():
            part = target.with_suffix(f".{os.getpid()}")
            _run([*command, "-o", str(part)])
            part.rename(target)
    return target
