"""The formulas behind the table of docs/gpu.md against what the emulator counts, and the table
against what stands on the page."""

import subprocess
import sys
from types import SimpleNamespace

import ml_dtypes
import numpy as np
import pytest

from scripts.gpu_roofline import ROOT, TENSOR, WORK
from tests.cuda import (
    test_activation,
    test_adamw,
    test_attention_decode,
    test_cross_entropy,
    test_embedding,
    test_linear_cross_entropy,
    test_norm,
    test_rotary,
    test_softmax,
    test_tree_histogram,
    test_tree_partition,
    test_tree_predict,
)
from tests.cuda.attention_cases import run_both, run_forward, tensors
from tests.cuda.emulator.build import KERNELS
from tests.cuda.optimizers import tensors_of
from tests.cuda.static.budgets import budget

BFLOAT16, FLOAT32 = np.dtype(ml_dtypes.bfloat16), np.dtype(np.float32)
FLOP_PER_MMA = 2 * 16 * 8 * 16
BY_NAME = {work.name: work for work in WORK}


def normal(rng, *shape, dtype=BFLOAT16):
    return rng.standard_normal(shape).astype(dtype)


def layer_norm(emulator, rng, rows, n):
    x, residual, weight = normal(rng, rows, n), normal(rng, rows, n), normal(rng, n)
    return test_norm.forward(emulator, x, weight, weight, residual=residual, counted=True)


def cross_entropy(emulator, rng, rows, n):
    logits, targets, _ = test_cross_entropy.problem(rng, (rows, n), BFLOAT16, ignored=0)
    return test_cross_entropy.forward(emulator, logits, targets, {}, counted=True)


def cross_entropy_backward(emulator, rng, rows, n):
    logits, targets, _ = test_cross_entropy.problem(rng, (rows, n), BFLOAT16, ignored=0)
    lse = normal(rng, rows, dtype=FLOAT32)
    return test_cross_entropy.backward(emulator, logits, targets, lse, {}, "sum", counted=True)


def linear_cross_entropy(emulator, rng, rows, n):
    given = test_linear_cross_entropy.problem(rng, rows, 2, n, BFLOAT16)
    given |= {"class_weight": None, "bias": None, "targets": np.arange(rows)}
    return test_linear_cross_entropy.run(emulator, given, counted=True)


def adamw(emulator, rng, n):
    given = tensors_of(rng, [n], FLOAT32, FLOAT32, False, **test_adamw.moments(rng))
    return test_adamw.run(emulator, given, counted=True)


def adamw_8_bit(emulator, rng, n):
    (t,) = tensors_of(rng, [n], FLOAT32, FLOAT32, False, **test_adamw.moments(rng))
    for name in ("exp_avg", "exp_avg_sq"):
        t[name], t[f"{name}_scale"] = np.zeros(n, np.uint8), np.zeros(n // 256, np.float32)
    return test_adamw.run(emulator, [t], quantized=1, counted=True)


def rotary(emulator, rng, tokens, heads, dim):
    tables = (normal(rng, tokens, dim // 2, dtype=FLOAT32) for _ in range(2))
    return test_rotary.rotate(emulator, normal(rng, 1, tokens, heads, dim), *tables, counted=True)


def embedding(emulator, rng, rows, n):
    weight, ids = normal(rng, 9, n), rng.integers(0, 9, rows)
    return test_embedding.forward(emulator, ids, weight, counted=True)


def causal(run, dim):
    def call(emulator, rng, heads, length):
        arrays = tensors(rng, (length, length, heads, heads, dim), BFLOAT16)
        return run(emulator, *arrays, causal=True, counted=True)

    return call


def forward(emulator, q, k, v, grad, **options):
    return run_forward(emulator, q, k, v, **options)


def decode(emulator, rng, batch, heads, kv_heads, length, splits):
    given = test_attention_decode.tensors(
        rng, BFLOAT16, [length] * batch, heads=heads, kv_heads=kv_heads, dim=128
    )
    return test_attention_decode.run(emulator, *given, splits=splits, counted=True)


def tree_histogram(emulator, rng, rows, features, groups):
    """As many bins a group as have the dynamic shared memory of the budget file."""
    each = features // groups
    bins = budget("tree_histogram", "tree_histogram<unsigned char, int>")["dynamic"] // each // 8
    offset = np.arange(features + 1, dtype=np.int32) * bins
    codes = (rng.random((rows, features)) * bins).astype(np.uint8)
    quantized = np.ones((rows, 2), np.int32)
    return test_tree_histogram.run(
        emulator, codes, offset, quantized, None, [(0, rows)], each, counted=True
    )


def tree_partition(emulator, rng, rows):
    made = test_tree_partition.problem(rng, [rows])
    made["feature"][:], made["category_start"][:] = 1, -1
    return test_tree_partition.run(emulator, made, counted=True)


def tree_predict(emulator, rng, rows, features, trees, depth):
    """Complete trees of numeric splits, each rooted where its nodes begin."""
    inner, nodes = 2**depth - 1, 2 ** (depth + 1) - 1
    node = np.arange(nodes)
    is_inner = node < inner
    every = {
        "feature": np.where(is_inner, node % features, -1).astype(np.int32),
        "left": np.where(is_inner, 2 * node + 1, 0).astype(np.int32),
        "right": np.where(is_inner, 2 * node + 2, 0).astype(np.int32),
        "threshold": np.zeros(nodes), "value": np.ones((nodes, 1)),
        "category_offset": np.full(nodes, -1), "category_words": np.zeros(nodes, np.int32),
        "default_left": node < 0, "zero_is_missing": node < 0,
    }  # fmt: skip
    forest = SimpleNamespace(
        **{name: np.concatenate([array] * trees) for name, array in every.items()},
        tree_offset=np.arange(trees + 1) * nodes, tree_output=np.zeros(trees, np.int32),
        category_bits=np.zeros(1, np.uint32), base_score=np.zeros(1),
        n_trees=trees, n_outputs=1, float32_input=False, average=False,
    )  # fmt: skip
    x = 1 + rng.random((rows, features), np.float32)
    return test_tree_predict.predict(emulator, forest, x, counted=True)


def rows_of(call):
    return lambda emulator, rng, rows, n: call(emulator, *(normal(rng, rows, n) for _ in range(3)))


# Work -> how to run it, on which shape, and what all lanes of a warp ask for together: bytes that
# the emulator counts once a lane, and a cache line serves.
SHAPE = {"rows": 3, "n": 4096}
CASES = {
    "softmax": (rows_of(lambda e, x, *_: test_softmax.forward(e, x, counted=True)), SHAPE, 0),
    "softmax backward": (
        rows_of(lambda e, x, y, _: test_softmax.backward(e, x, y, counted=True)), SHAPE, 0,
    ),
    "layer_norm with residual": (layer_norm, SHAPE, 0),
    "gelu": (
        rows_of(lambda e, x, *_: test_activation.forward(e, "gelu", x, counted=True)), SHAPE, 0,
    ),
    "gelu backward": (
        rows_of(lambda e, dy, x, _: test_activation.backward(e, "gelu", dy, x, counted=True)),
        SHAPE, 0,
    ),
    "swiglu": (
        rows_of(
            lambda e, x, y, _: test_activation.glu(e, "silu", np.hstack([x, y]), counted=True)
        ),
        SHAPE, 0,
    ),
    "swiglu backward": (
        rows_of(lambda e, *a: test_activation.glu_backward(e, "silu", *a, counted=True)), SHAPE, 0,
    ),
    "cross_entropy": (cross_entropy, SHAPE, 3 * 256 * 8),
    "cross_entropy backward": (cross_entropy_backward, SHAPE, 3 * 256 * (8 + 4)),
    "linear_cross_entropy, a chunk": (
        linear_cross_entropy, {"rows": 2, "n": 4096}, 2 * (512 * 8 + 4 + 4),
    ),
    "AdamW, float32": (adamw, {"n": 8192}, 0),
    "AdamW, 8-bit moments": (adamw_8_bit, {"n": 8192}, 0),
    "rotary, head size 128": (rotary, {"tokens": 3, "heads": 4, "dim": 128}, 0),
    "embedding": (embedding, SHAPE, 3 * 31 * 8),
    **{
        f"attention {part}, head size {dim}": (
            causal(run, dim), {"heads": 1, "length": 256}, 0,
        )
        for part, run in (("forward", forward), ("dQ", run_both), ("dK and dV", run_both))
        for dim in (64, 128)
    },
    "attention decode, head size 128": (
        decode, {"batch": 2, "heads": 4, "kv_heads": 2, "length": 512, "splits": 4},
        2 * 2 * 4 * 128 * 4,
    ),
    # Each lane its row's integers and its feature's first bin; each thread the node and the group.
    "tree histogram, root": (
        tree_histogram, {"rows": 512, "features": 32, "groups": 2},
        512 * 32 * (8 + 4) - 512 * 8 * 2 + 2 * 512 * (2 * 8 + 2 * 4),
    ),
    # Each thread the node and what the blocks before it have; the node's count of rows.
    "tree partition": (
        tree_partition, {"rows": 2048}, 256 * (2 * 8 + 8 + 4 * 4 + 3 * 4) + 8,
    ),
    "tree prediction": (
        tree_predict, {"rows": 40, "features": 5, "trees": 3, "depth": 4}, 0,
    ),
}  # fmt: skip
SOURCES = {"attention_backward": ("attention", "attention_backward", "attention_bias")}
LINEAR = [*test_linear_cross_entropy.SOURCES]


@pytest.mark.parametrize("name", CASES)
def test_formulas_are_what_the_emulator_counts(emulator_for, rng, name):
    work = BY_NAME[name]
    call, shape, asked = CASES[name]
    families = SOURCES.get(work.family, (work.family,))
    sources = [KERNELS / f"{family}.cu" for family in families]
    result = call(emulator_for("plain", LINEAR if "linear" in name else sources), rng, **shape)
    counts = counts_of(result, work.kernel)
    moved = counts["global_read_bytes"] + counts["global_write_bytes"]
    assert moved - asked == work.moved(**shape)
    assert work.least(**shape) <= work.moved(**shape)
    if work.unit == TENSOR:
        assert counts["mma"] * FLOP_PER_MMA == work.flops(**shape)
    held = budget(work.family, work.kernel)
    assert counts["threads"] == held["threads"]
    assert counts["dynamic_shared"] == held["dynamic"]


def counts_of(result, kernel):
    """Of the kernel of that name: launchers write it with the names of their own parameters."""
    name = kernel.split("<")[0]
    (counts,) = (c for k, c in result.kernels.items() if k.strip("()").split("<")[0] == name)
    return counts


def test_every_kernel_of_the_table_is_counted():
    assert set(CASES) == set(BY_NAME)


def test_the_page_is_up_to_date():
    script = ROOT / "scripts" / "gpu_roofline.py"
    done = subprocess.run([sys.executable, str(script), "--check"], capture_output=True, text=True,
                          check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
