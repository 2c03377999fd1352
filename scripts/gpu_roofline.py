"""Write the table of CUDA kernels in docs/gpu.md: what they take, move and compute, and the least
time a roofline gives them.

    python scripts/gpu_roofline.py            # write it again
    python scripts/gpu_roofline.py --check    # only compare with what stands there

Registers, shared memory and occupancy are those of tests/cuda/static/budgets.json, which tests hold
to what nvcc makes of the sources. Bytes and operations follow from the formulas below, which
tests/cuda/test_roofline.py holds to the counters of the emulator. So this needs neither nvcc nor a
GPU. Times are predictions: nothing here was measured on a GPU.
"""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from math import ceil
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE, BUDGETS = ROOT / "docs" / "gpu.md", ROOT / "tests" / "cuda" / "static" / "budgets.json"
START, END = "<!-- roofline: scripts/gpu_roofline.py -->", "<!-- end of roofline -->"
# What computes: bfloat16 in mma, float32 in fma, integer atomics in shared memory.
TENSOR, FLOAT32, ATOMICS = "tensor", "float32", "atomics"


@dataclass(frozen=True)
class Device:
    """Peaks of a data sheet, in bytes and operations a second."""

    name: str
    target: str
    bandwidth: float
    flops: dict[str, float]


DEVICES = [
    # NVIDIA A100 80GB SXM data sheet; H100 SXM data sheet, dense figures. Atomics: one a bank and
    # clock, 32 banks, 108 multiprocessors at 1.41 GHz and 132 at 1.98.
    Device("A100", "sm_80", 2.039e12, {TENSOR: 312e12, FLOAT32: 19.5e12, ATOMICS: 4.87e12}),
    Device("H100", "sm_90", 3.35e12, {TENSOR: 989.4e12, FLOAT32: 66.9e12, ATOMICS: 8.36e12}),
]
WARPS = 64  # that a multiprocessor of either has room for


@dataclass(frozen=True)
class Work:
    """One kernel on one shape. The formulas take the fields of the shape.

    `moved` is what the kernel asks global memory for, each element once a thread block that wants
    it; `least` each array once. Where the difference comes from the L2 cache (`cached`), the
    roofline counts `least`, else `moved`.
    """

    name: str
    family: str
    kernel: str
    shape: dict[str, int]
    moved: Callable[..., float]
    least: Callable[..., float]
    flops: Callable[..., float]
    unit: str = FLOAT32
    cached: bool = False

    def memory(self, **shape: int) -> float:
        return (self.least if self.cached else self.moved)(**shape)

    def seconds(self, device: Device) -> tuple[float, str]:
        """The larger of both times, and whose it is."""
        memory = self.memory(**self.shape) / device.bandwidth
        arithmetic = self.flops(**self.shape) / device.flops[self.unit]
        return (memory, "memory") if memory >= arithmetic else (arithmetic, self.unit)


ROWS = {"rows": 8192, "n": 4096}
LOGITS = {"rows": 8192, "n": 50304}


def rows_work(name, family, kernel, arrays, flops, shape=ROWS, extra=lambda rows, n: 0):
    """bfloat16 rows: `arrays` of them read or written once; `extra` bytes that a cache serves."""
    return Work(
        name, family, kernel, shape,
        moved=lambda rows, n: 2 * arrays * rows * n + extra(rows, n),
        least=lambda rows, n: 2 * arrays * rows * n,
        flops=lambda rows, n: flops * rows * n,
        cached=True,
    )  # fmt: skip


def causal_steps(length: int, tile: int, step: int) -> list[int]:
    """For each tile of queries the tiles of `step` keys that it sees; as many tiles of queries see
    each tile of keys."""
    return [ceil(min(first + tile, length) / step) for first in range(0, length, tile)]


def query_tile(dim: int) -> int:
    return 128 if dim <= 64 else 64


def backward_step(dim: int) -> int:
    return 64 if dim <= 64 else 32


def attention_forward(dim: int) -> Work:
    keys = 64 if dim <= 96 else 48

    def steps(length):
        return sum(causal_steps(length, query_tile(dim), keys))

    def fetched(length):  # keys; the last tile may go beyond the last one
        return sum(min(n * keys, length) for n in causal_steps(length, query_tile(dim), keys))

    return Work(
        f"attention forward, head size {dim}", "attention", f"attention_forward<bf16, {dim}>",
        {"heads": 128, "length": 4096},
        moved=lambda heads, length: heads
        * (2 * 2 * dim * length + 4 * length + 2 * 2 * dim * fetched(length)),
        least=lambda heads, length: heads * (4 * 2 * dim * length + 4 * length),
        flops=lambda heads, length: heads * 2 * 2 * query_tile(dim) * keys * dim * steps(length),
        unit=TENSOR, cached=True,
    )  # fmt: skip


def attention_backward_q(dim: int) -> Work:
    step = backward_step(dim)

    def steps(length):
        return sum(causal_steps(length, 64, step))

    return Work(
        f"attention dQ, head size {dim}", "attention_backward",
        f"attention_backward_q<bf16, {dim}>", {"heads": 128, "length": 4096},
        moved=lambda heads, length: heads
        * (3 * 2 * dim * length + 2 * 4 * length + 2 * 2 * dim * step * steps(length)),
        least=lambda heads, length: heads * (5 * 2 * dim * length + 2 * 4 * length),
        flops=lambda heads, length: heads * 3 * 2 * 64 * step * dim * steps(length),
        unit=TENSOR, cached=True,
    )  # fmt: skip


def attention_backward_kv(dim: int) -> Work:
    step = backward_step(dim)

    def steps(length):
        return sum(causal_steps(length, 64, step))

    return Work(
        f"attention dK and dV, head size {dim}", "attention_backward",
        f"attention_backward_kv<bf16, {dim}>", {"heads": 128, "length": 4096},
        moved=lambda heads, length: heads
        * (4 * 2 * dim * length + (2 * 2 * dim + 2 * 4) * step * steps(length)),
        least=lambda heads, length: heads * (6 * 2 * dim * length + 2 * 4 * length),
        flops=lambda heads, length: heads * 4 * 2 * 64 * step * dim * steps(length),
        unit=TENSOR, cached=True,
    )  # fmt: skip


def attention_decode(dim: int) -> Work:
    """Up to 16 query heads a key/value head; `splits` parts, whose sums go through memory."""
    return Work(
        f"attention decode, head size {dim}", "attention_decode", f"attention_decode<bf16, {dim}>",
        {"batch": 64, "heads": 32, "kv_heads": 8, "length": 4096, "splits": 1},
        moved=lambda batch, heads, kv_heads, length, splits: batch
        * (2 * 2 * kv_heads * length * dim + splits * heads * (2 * dim + 4 * (dim + 2))),
        least=lambda batch, heads, kv_heads, length, splits: batch
        * (2 * 2 * kv_heads * length * dim + heads * 2 * 2 * dim),
        flops=lambda batch, heads, kv_heads, length, splits: batch
        * kv_heads * 2 * 2 * 16 * length * dim,
        unit=TENSOR,
    )  # fmt: skip


WORK = [
    *(make(dim) for dim in (64, 128) for make in
      (attention_forward, attention_backward_kv, attention_backward_q)),
    attention_decode(128),
    rows_work("softmax", "softmax", "softmax_held<bf16, 8, 4>", 2, 5),
    rows_work("softmax backward", "softmax", "softmax_gradient<bf16, 8, 4>", 3, 4),
    # x, residual and their sum; weight and bias once a row, from cache.
    rows_work("layer_norm with residual", "norm", "norm_held<bf16, 8, 256>", 4, 9,
              extra=lambda rows, n: 2 * 2 * rows * n + 2 * 4 * rows),
    rows_work("gelu", "activation", "activation_forward<bf16, 8>", 2, 25),
    rows_work("gelu backward", "activation", "activation_backward<bf16, 8>", 3, 35),
    rows_work("swiglu", "activation", "glu_forward<bf16, 8>", 3, 8),
    rows_work("swiglu backward", "activation", "glu_backward<bf16, 8>", 5, 14),
    rows_work("cross_entropy", "cross_entropy", "cross_entropy_forward<bf16, 8, 256>", 1, 5,
              LOGITS, lambda rows, n: (2 + 2 * 4) * rows),
    rows_work("cross_entropy backward", "cross_entropy", "cross_entropy_backward<bf16, 8, 256>", 2,
              5, LOGITS),
    Work("linear_cross_entropy, a chunk", "linear_cross_entropy",
         "linear_cross_entropy_chunk<bf16, bf16, true>", {"rows": 1024, "n": 50304},
         moved=lambda rows, n: (2 * 4 + 2) * rows * n,
         least=lambda rows, n: (4 + 2) * rows * n,
         flops=lambda rows, n: 10 * rows * n),
    Work("AdamW, float32", "adamw", "update_step<float, float, AdamWRule<false>, false>",
         {"n": 124_000_000}, moved=lambda n: 28 * n, least=lambda n: 28 * n,
         flops=lambda n: 15 * n),
    Work("AdamW, 8-bit moments", "adamw", "update_step<float, float, AdamWRule<false>, true>",
         {"n": 124_000_000}, moved=lambda n: 16 * n + 4 * 4 * n / 256,
         least=lambda n: 16 * n + 4 * 4 * n / 256, flops=lambda n: 60 * n),
    Work("rotary, head size 128", "rotary", "rotary<bf16, 8, false>",
         {"tokens": 8192, "heads": 32, "dim": 128},
         moved=lambda tokens, heads, dim: 2 * 2 * tokens * heads * dim + 4 * tokens * dim,
         least=lambda tokens, heads, dim: 2 * 2 * tokens * heads * dim + 4 * tokens * dim,
         flops=lambda tokens, heads, dim: 3 * tokens * heads * dim),
    Work("embedding", "embedding", "embedding_forward<bf16, 8>", ROWS,
         moved=lambda rows, n: 2 * 2 * rows * n + 8 * rows,
         least=lambda rows, n: 2 * 2 * rows * n + 8 * rows, flops=lambda rows, n: 0),
    # A row's two integers once a group of features.
    Work("tree histogram, root", "tree_histogram", "tree_histogram<unsigned char, int>",
         {"rows": 1_000_000, "features": 64, "groups": 4},
         moved=lambda rows, features, groups: rows * (features + 8 * groups),
         least=lambda rows, features, groups: rows * (features + 8),
         flops=lambda rows, features, groups: 2 * rows * features, unit=ATOMICS),
    Work("tree partition", "tree_partition", "tree_partition_move<unsigned char>",
         {"rows": 1_000_000}, moved=lambda rows: rows * (4 + 1 + 4),
         least=lambda rows: rows * (4 + 1 + 4), flops=lambda rows: rows),
    # A step: feature, value, category, threshold, child. The nodes stay in cache.
    Work("tree prediction", "tree_predict", "tree_predict<float>",
         {"rows": 1_000_000, "features": 64, "trees": 100, "depth": 6},
         moved=lambda rows, features, trees, depth: rows
         * (trees * (depth * (4 + 4 + 8 + 8 + 4) + 4 + 8 + 4 + 8) + 8 + 8),
         least=lambda rows, features, trees, depth: rows * (4 * features + 8),
         flops=lambda rows, features, trees, depth: rows * trees * (depth + 1), cached=True),
]  # fmt: skip


def resources() -> Callable[[Work], dict]:
    """Work -> its kernel's entry of the budget file."""
    budgets = json.loads(BUDGETS.read_text())

    def find(work: Work) -> dict:
        return next(b for p, b in budgets[work.family].items() if fnmatchcase(work.kernel, p))

    return find


def si(value: float, unit: str) -> str:
    for scale, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= scale:
            return f"{value / scale:.3g} {prefix}{unit}"
    return f"{value:.3g} {unit}".strip()


def row(work: Work, device: Device, budget: dict) -> str:
    used = budget[device.target]
    warps = used["blocks"] * budget["threads"] // 32
    moved, least = work.moved(**work.shape), work.least(**work.shape)
    seconds, bound = work.seconds(device)
    cells = [
        work.name,
        f"{device.target}, {device.name}",
        str(used["registers"]),
        f"{budget['shared'] + budget['dynamic']:,}",
        f"{used['blocks']} x {budget['threads']}, {warps / WARPS:.0%}",
        si(moved, "B"),
        f"{moved / least:.2f}",
        si(work.flops(**work.shape), ""),
        f"{seconds * 1e6:,.0f} us, {bound}",
    ]
    return f"| {' | '.join(cells)} |"


def table() -> str:
    """Markdown: a row a kernel and target, and the shapes below."""
    find = resources()
    shapes: dict[str, list[str]] = {}
    for work in WORK:
        shape = ", ".join(f"{name} {size:,}" for name, size in work.shape.items())
        shapes.setdefault(shape, []).append(work.name)
    return "\n".join(
        [
            "| kernel | target | registers | shared, bytes | blocks x threads, occupancy | moved "
            "| / least | operations | predicted |",
            "|---|---|---:|---:|---:|---:|---:|---:|---:|",
            *(row(work, device, find(work)) for work in WORK for device in DEVICES),
            "",
            "Shapes:",
            "",
            *(f"- {shape}: {'; '.join(names)}" for shape, names in shapes.items()),
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the table of CUDA kernels in docs/gpu.md.")
    parser.add_argument("--check", action="store_true", help="only compare with what stands there")
    text = PAGE.read_text()
    if START not in text or END not in text:
        sys.exit(f"{PAGE}: expected the lines {START!r} and {END!r}")
    before, rest = text.split(START)
    after = rest.split(END)[1]
    wanted = f"{before}{START}\n{table()}\n{END}{after}"
    if not parser.parse_args().check:
        PAGE.write_text(wanted)
    elif text != wanted:
        sys.exit(f"{PAGE} is out of date: run python {Path(__file__).relative_to(ROOT)}")


if __name__ == "__main__":
    main()
