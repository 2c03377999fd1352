"""What Triton makes of the kernels, without a GPU: resources and instructions of the machine code.

Run as a program it compiles every specialisation for one target and prints a JSON object: in a
process of its own, since the tests' process has the interpreter in place of the compiler, and one a
target, side by side. Results are kept under build/ by the hash of the kernels' sources and Triton's
version.
"""

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[3]
KERNELS = ROOT / "kernels" / "triton"
KEPT = ROOT / "build" / "triton"
TARGETS = ("sm_80", "sm_90", "sm_100")
# Of each instruction the first part, and how wide a global access is.
INSTRUCTION = re.compile(
    r"^\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9_]*)([.\w]*)", re.M
)


def sources():
    """A digest of everything the machine code follows from."""
    import triton

    digest = hashlib.sha256(triton.__version__.encode())
    for path in (*sorted(KERNELS.rglob("*.py")), Path(__file__)):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def instructions(sass):
    """How often each instruction occurs; a suffix .128 is kept for 16-byte accesses."""
    counts = Counter()
    for name, suffix in INSTRUCTION.findall(sass):
        counts[name] += 1
        if ".128" in suffix:
            counts[f"{name}.128"] += 1
    return counts


def inspect(compiled):
    """Registers, bytes of stack, shared bytes and instructions of a compiled kernel."""
    from triton import knobs

    tool = knobs.nvidia.cuobjdump.path
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(compiled.asm["cubin"])
        file.flush()
        usage, sass = (
            subprocess.run([tool, option, file.name], capture_output=True, text=True, check=True)
            for option in ("--dump-resource-usage", "-sass")
        )
    found = re.search(r"REG:(\d+) STACK:(\d+)", usage.stdout)
    return {
        "registers": int(found[1]),
        "stack": int(found[2]),
        "shared": compiled.metadata.shared,  # cuobjdump shows the static part alone
        "instructions": instructions(sass.stdout),
    }


def compile_all(target):
    from pyllm.kernels.triton.specialisations import specialisations

    return {s.name: inspect(s.compile(int(target[3:]))) for s in specialisations()}


def start(module, *arguments):
    """A module of this folder as a program, with the compiler in place of the interpreter."""
    env = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), env.get("PYTHONPATH")]))
    command = [sys.executable, "-m", f"tests.triton.ahead_of_time.{module}", *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=env, stdout=pipe, stderr=pipe, text=True)


def results():
    """{specialisation: {target: what `inspect` found}}."""
    kept = KEPT / f"{sources()}.json"
    if not kept.exists():
        found = {}
        for target, process in [(t, start("compiled", t)) for t in TARGETS]:
            output, errors = process.communicate()
            assert process.returncode == 0, errors[-4000:]
            for name, used in json.loads(output).items():
                found.setdefault(name, {})[target] = used
        KEPT.mkdir(parents=True, exist_ok=True)
        fresh = kept.with_suffix(f".{os.getpid()}")
        fresh.write_text(json.dumps(found))
        fresh.rename(kept)
    return json.loads(kept.read_text())


if __name__ == "__main__":
    json.dump(compile_all(sys.argv[1]), sys.stdout)
