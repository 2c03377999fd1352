"""Compile the Triton kernels of kernels/triton/embedded into a C++ table; needs no GPU.

    python scripts/embed_triton.py DIRECTORY [--jobs N] [--only 90] [--but softmax]

writes into DIRECTORY embedded_table.cpp (csrc/bindings_cuda/embedded_table.h declares it),
embedded.bin, which the former includes, and embedded.json, which says the same for tests. Machine
code is kept in DIRECTORY/cache by the hash of what it was made from, so a second run is quick. Runs
where pyllm is not built yet, and without torch, which only the kernels' launchers need. Tests
compile most kernels for one compute capability only (--only), one family for all (--but).
"""

import argparse
import importlib.util
import json
import os
import sys
import time
import types
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ALIGNMENT = 64
C_KINDS = {"i32": "int32", "i64": "int64", "u32": "uint32", "u64": "uint64", "fp32": "float32"}


def prepare():
    """Make `pyllm.kernels.triton` importable from the source tree alone."""
    if "pyllm" not in sys.modules:
        package = types.ModuleType("pyllm")
        package.__path__ = [str(ROOT / "pyllm")]
        sys.modules["pyllm"] = package
    if importlib.util.find_spec("torch") is None:
        torch = types.ModuleType("torch")
        torch.__getattr__ = lambda name: name  # dtypes are looked up, nothing is called
        sys.modules["torch"] = torch


@dataclass(frozen=True)
class Parameter:
    """An argument of the Python function; fields as in embedded_table.h."""

    name: str
    kind: str
    divisible: bool = False
    text: str = ""
    value: int = 0


def parameters(source):
    """What became of each argument."""
    divisible = {at[0] for at, hints in source.attrs.items() if ["tt.divisibility", 16] in hints}
    found = []
    for at, (name, kind) in enumerate(source.signature.items()):
        if kind.startswith("*"):
            found.append(Parameter(name, "pointer", at in divisible, kind[1:]))
        elif kind != "constexpr":
            found.append(Parameter(name, C_KINDS[kind], at in divisible))
        elif (value := source.constants[(at,)]) is None:
            found.append(Parameter(name, "absent"))
        elif isinstance(value, str):
            found.append(Parameter(name, "word", text=value))
        else:
            found.append(Parameter(name, "constant", value=int(value)))
    return found


def compile_one(job):
    """(machine code, shared bytes, threads) of the specialisation of this number."""
    number, capability = job
    from pyllm.kernels.triton.embedded import embedded

    compiled = list(embedded())[number].compile(capability)
    metadata = compiled.metadata
    needed = {
        name: getattr(metadata, name)
        for name in ("global_scratch_size", "profile_scratch_size", "launch_cooperative_grid",
                     "launch_pdl", "tensordesc_meta")
    }  # fmt: skip
    if any(needed.values()) or metadata.num_ctas != 1:
        raise NotImplementedError(f"{metadata.name}: the launcher has no {needed}")
    return compiled.asm["cubin"], metadata.shared, 32 * metadata.num_warps


def compile_all(jobs, processes):
    """The results of compile_one in the order of `jobs`, with a line of progress."""
    start, results = time.monotonic(), []
    with ProcessPoolExecutor(processes, initializer=prepare) as pool:
        for result in pool.map(compile_one, jobs, chunksize=4):
            results.append(result)
            if len(results) % 25 == 0 or len(results) == len(jobs):
                took = time.monotonic() - start
                print(f"Triton kernels: {len(results)} of {len(jobs)} compiled, {took:.0f} s",
                      flush=True)  # fmt: skip
    return results


def table(entries, blob):
    """embedded_table.cpp."""
    lines = [
        "// Written by scripts/embed_triton.py.",
        '#include "bindings_cuda/embedded_table.h"',
        "",
        'asm(".pushsection .rodata\\n"',
        f'    ".balign {ALIGNMENT}\\n"',
        '    ".globl pyllm_triton_images\\n"',
        '    ".hidden pyllm_triton_images\\n"',
        '    "pyllm_triton_images:\\n"',
        f'    ".incbin \\"{blob}\\"\\n"',
        '    ".popsection\\n");',
        'extern "C" __attribute__((visibility("hidden"))) const char pyllm_triton_images[];',
        "",
        "namespace pyllm::bind_cuda::embedded {",
        "namespace {",
        "",
    ]
    for i, entry in enumerate(entries):
        lines.append(f"const Parameter parameters_{i}[] = {{")
        for p in entry["parameters"]:
            divisible = "true" if p["divisible"] else "false"
            rest = f'Kind::{p["kind"]}, {divisible}, "{p["text"]}", {p["value"]}'
            lines.append(f'    {{"{p["name"]}", {rest}}},')
        lines += ["};", f"const Image images_{i}[] = {{"]
        for image in entry["images"]:
            code = f"pyllm_triton_images + {image['offset']}"
            lines.append(
                f"    {{{image['capability']}, {code}, {image['shared']}, {image['threads']}}},"
            )
        lines.append("};")
    lines += ["const Kernel table[] = {"]
    lines += [
        f'    {{"{entry["function"]}", parameters_{i}, images_{i}}},'
        for i, entry in enumerate(entries)
    ]
    lines += ["};", "", "}  // namespace", "", "std::span<const Kernel> kernels() {"]
    lines += ["  return table;", "}", "", "}  // namespace pyllm::bind_cuda::embedded", ""]
    return "\n".join(lines)


def write(directory, processes, only=None, but=None):
    from pyllm.kernels.triton.embedded import CAPABILITIES, embedded

    kernels = list(embedded())
    targets = [CAPABILITIES if only is None or k.family == but else (only,) for k in kernels]
    jobs = [(i, capability) for i, wanted in enumerate(targets) for capability in wanted]
    compiled = iter(compile_all(jobs, processes))
    blob, offsets, entries = bytearray(), {}, []
    for kernel, wanted in zip(kernels, targets, strict=True):
        source, _ = kernel.source()
        images = []
        for capability in wanted:
            code, shared, threads = next(compiled)
            if code not in offsets:
                blob += bytes(-len(blob) % ALIGNMENT)
                offsets[code] = len(blob)
                blob += code
            images.append({"capability": capability, "offset": offsets[code], "bytes": len(code),
                           "shared": shared, "threads": threads})  # fmt: skip
        entries.append({
            "name": kernel.name, "family": kernel.family, "function": source.fn.__name__,
            "parameters": [vars(p) for p in parameters(source)], "images": images,
        })  # fmt: skip
    path = directory / "embedded.bin"
    path.write_bytes(blob)
    (directory / "embedded_table.cpp").write_text(table(entries, path))
    (directory / "embedded.json").write_text(json.dumps(entries, indent=1))
    print(f"Triton kernels: {len(kernels)}, machine code {len(blob) / 2**20:.1f} MiB")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--only", type=int, help="the one compute capability, as 90")
    parser.add_argument("--but", help="a family that is compiled for all of them even so")
    given = parser.parse_args()
    directory = given.directory.resolve()
    directory.mkdir(parents=True, exist_ok=True)
    os.environ.pop("TRITON_INTERPRET", None)
    os.environ["TRITON_CACHE_DIR"] = str(directory / "cache")
    os.environ["TRITON_DISABLE_LINE_INFO"] = "1"  # a third of the size
    prepare()
    write(directory, given.jobs, given.only, given.but)


if __name__ == "__main__":
    main()
