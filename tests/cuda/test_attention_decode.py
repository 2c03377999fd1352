"""The CUDA attention decode through the emulator, against the float64 reference and the CPU's."""

import subprocess

import numpy as np
import pytest

from pyllm import ops
from tests.cuda.attention_cases import (
    BFLOAT16,
    DTYPES,
    FLOAT16,
    FLOAT32,
    UNLIMITED,
    assert_within_roundoff,
    broadcast_strides,
    element_strides,
)
from tests.cuda.emulator.build import KERNELS, compiler
from tests.cuda.emulator.client import ORDERS, CudaError, Out
from tests.reference import attention as reference

SOURCES = [KERNELS / "attention_decode.cu"]


def problem(q, k, v, lengths, *, block_table=None, window=None, scale=None, alibi_slopes=None,
            softcap=None, splits=2):  # fmt: skip
    batch, queries, heads, dim = q.shape
    value_dim = v.shape[3]
    left = (window or (None, None))[0]
    partial = (splits, batch, heads, queries)
    return {
        "q": q, "k": k, "v": v, "out": Out((*q.shape[:3], value_dim), q.dtype),
        "batch": batch, "queries": queries, "heads": heads, "kv_heads": k.shape[2],
        "head_dim": dim, "value_dim": value_dim, "capacity": k.shape[1], "blocks": k.shape[0],
        "q_strides": element_strides(q), "k_strides": element_strides(k),
        "v_strides": element_strides(v),
        "out_strides": broadcast_strides((*q.shape[:3], value_dim), 4)[:3],
        "lengths": lengths, "lengths_int64": int(lengths.dtype == np.int64),
        "block_table": block_table,
        "block_table_int64": int(block_table is not None and block_table.dtype == np.int64),
        "blocks_per_sequence": 0 if block_table is None else block_table.shape[1],
        "left": UNLIMITED if left is None else left,
        "alibi": alibi_slopes,
        "alibi_strides": (0, 0) if alibi_slopes is None
        else broadcast_strides(alibi_slopes.shape, 2),
        "splits": splits,
        "partial_out": Out((*partial, value_dim), np.float32),
        "partial_top": Out(partial, np.float32), "partial_sum": Out(partial, np.float32),
        "scale": dim**-0.5 if scale is None else scale, "softcap": softcap or 0.0,
        "dtype": q.dtype,
    }  # fmt: skip


def run(emulator, *arrays, order="forward", counted=False, **options):
    return emulator.call(
        "pyllm_cuda_attention_decode", "AttentionDecode",
        order=order, order_seed=3, counted=counted, **problem(*arrays, **options),
    )  # fmt: skip


def tensors(rng, dtype, lengths, *, queries=1, heads=4, kv_heads=2, dim=32, value_dim=None,
            capacity=None):  # fmt: skip
    """q, k, v, lengths; what lies beyond a length is NaN."""
    capacity = capacity or max(lengths)
    q = rng.standard_normal((len(lengths), queries, heads, dim)).astype(dtype)
    k = rng.standard_normal((len(lengths), capacity, kv_heads, dim)).astype(dtype)
    v = rng.standard_normal((len(lengths), capacity, kv_heads, value_dim or dim)).astype(dtype)
    for b, length in enumerate(lengths):
        k[b, length:] = v[b, length:] = np.nan
    return q, k, v, np.array(lengths, np.int32)


def paged(rng, k, v, block_size, integers):
    """The same cache in blocks of shuffled places, and the table that finds them."""
    batch, capacity = k.shape[:2]
    per_sequence = -(-capacity // block_size)
    table = rng.permutation(batch * per_sequence + 2)[: batch * per_sequence]
    table = table.reshape(batch, per_sequence).astype(integers)
    caches = []
    for dense in (k, v):
        cache = np.full((batch * per_sequence + 2, block_size, *k.shape[2:3], dense.shape[3]),
                        np.nan, dense.dtype)  # fmt: skip
        for b in range(batch):
            for i, block in enumerate(table[b]):
                rows = dense[b, i * block_size : (i + 1) * block_size]
                cache[block, : len(rows)] = rows
        caches.append(cache)
    return *caches, table


def check(result, q, k, v, lengths, *, window=None, **options):
    left = (window or (None, None))[0]
    for b, length in enumerate(lengths):
        one = (q[b : b + 1], k[b : b + 1, :length], v[b : b + 1, :length])
        own = {**options, "causal": True, "window": (left, None)}
        if options.get("alibi_slopes") is not None:
            own["alibi_slopes"] = np.broadcast_to(
                options["alibi_slopes"], (len(lengths), q.shape[2])
            )[b]
        expected, _ = reference.attention(*one, **own)
        scale = reference.scales(*one, np.zeros(expected.shape), **own)["out"]
        assert_within_roundoff(
            result["out"][b : b + 1], expected, scale, q.dtype, max(length, q.shape[3]), 2.02
        )


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("splits", [1, 3, 8])
@pytest.mark.parametrize(
    "shape",
    [
        {"lengths": [1]},
        {"lengths": [300, 17, 64], "capacity": 320},
        {"lengths": [200, 90], "queries": 5, "heads": 2, "kv_heads": 2, "dim": 64},
        {"lengths": [150], "heads": 40, "kv_heads": 2, "dim": 16},
        {"lengths": [100], "heads": 2, "kv_heads": 1, "dim": 128},
        {"lengths": [70], "heads": 1, "kv_heads": 1, "dim": 136, "value_dim": 200},
        {"lengths": [70], "heads": 1, "kv_heads": 1, "dim": 20, "value_dim": 7},
    ],
    ids=str,
)
def test_decode(emulator_for, rng, shape, splits, dtype):
    arrays = tensors(rng, dtype, **shape)
    check(run(emulator_for("plain", SOURCES), *arrays, splits=splits), *arrays)


@pytest.mark.parametrize("dtype", [FLOAT32, BFLOAT16], ids=str)
@pytest.mark.parametrize(
    "options",
    [
        {"window": (40, 0)},
        {"window": (0, 0)},
        {"softcap": 2.0},
        {"alibi_slopes": (4,)},
        {"alibi_slopes": (2, 4), "window": (100, None), "softcap": 5.0, "scale": 0.4},
    ],
    ids=str,
)
def test_options(emulator_for, rng, options, dtype):
    if "alibi_slopes" in options:
        slopes = rng.random(options["alibi_slopes"]).astype(np.float32)
        options = {**options, "alibi_slopes": slopes}
    arrays = tensors(rng, dtype, [300, 130], queries=3)
    check(run(emulator_for("plain", SOURCES), *arrays, splits=3, **options), *arrays, **options)


@pytest.mark.parametrize("integers", [np.int32, np.int64])
@pytest.mark.parametrize("block_size", [1, 16, 100])
def test_paged_cache_gives_the_same_bits(emulator_for, rng, block_size, integers):
    q, k, v, lengths = tensors(rng, FLOAT16, [300, 17, 64], queries=2)
    emulator = emulator_for("plain", SOURCES)
    expected = run(emulator, q, k, v, lengths.astype(integers), splits=3)
    k_blocks, v_blocks, table = paged(rng, k, v, block_size, integers)
    got = run(emulator, q, k_blocks, v_blocks, lengths, block_table=table, splits=3)
    np.testing.assert_array_equal(got["out"], expected["out"])


@pytest.mark.parametrize("options", [{}, {"window": (50, 0), "softcap": 3.0}], ids=str)
def test_equals_the_cpu(emulator_for, rng, options):
    q, k, v, lengths = tensors(rng, FLOAT32, [300, 17, 0], queries=2, capacity=320)
    got = run(emulator_for("plain", SOURCES), q, k, v, lengths, splits=4, **options)["out"]
    k, v = np.nan_to_num(k), np.nan_to_num(v)
    expected = ops.attention_decode(q, k, v, lengths, **options)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=2e-6)
    k_blocks, v_blocks, table = paged(rng, k, v, 16, np.int32)
    expected = ops.attention_decode(q, k_blocks, v_blocks, lengths, block_table=table, **options)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=2e-6)


def test_queries_before_the_first_position_give_zeros(emulator_for, rng):
    q, k, v, lengths = tensors(rng, FLOAT16, [3, 0], queries=5, capacity=64)
    out = run(emulator_for("plain", SOURCES), q, k, v, lengths)["out"]
    np.testing.assert_array_equal(out[0, :2], 0)
    np.testing.assert_array_equal(out[1], 0)
    assert np.isfinite(out).all()
    assert (out[0, 2:] != 0).any(axis=(1, 2)).all()


def test_lengths_and_blocks_out_of_range_give_nan_and_touch_nothing_else(emulator_for, rng):
    q, k, v, lengths = tensors(rng, FLOAT16, [100, 100, 100, 100])
    lengths = np.array([100, 101, -1, 50], np.int32)
    out = run(emulator_for("plain", SOURCES), q, k, v, lengths)["out"]
    np.testing.assert_array_equal(np.isnan(out).all(axis=(1, 2, 3)), [False, True, True, False])
    assert np.isfinite(out[[0, 3]]).all()
    lengths[:] = 100
    k_blocks, v_blocks, table = paged(rng, k, v, 25, np.int64)
    table[1, 2], table[2, 0] = len(k_blocks), -1
    table[3, 3] = 2**40
    lengths[3] = 75  # the entry beyond is not read
    out = run(emulator_for("plain", SOURCES), q, k_blocks, v_blocks, lengths, block_table=table)
    np.testing.assert_array_equal(
        np.isnan(out["out"]).all(axis=(1, 2, 3)), [False, True, True, False]
    )


@pytest.mark.parametrize("variant", ["asan", "tsan"])
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("dtype", [FLOAT32, BFLOAT16], ids=str)
def test_sanitized_in_every_order(emulator_for, rng, variant, order, dtype):
    """Three and four rounds of the pipeline in two splits: the same bits in every order."""
    q, k, v, lengths = tensors(rng, dtype, [410], queries=3, heads=2, kv_heads=1)
    k_blocks, v_blocks, table = paged(rng, k, v, 16, np.int32)
    arrays = (q, k_blocks, v_blocks, lengths)
    expected = run(emulator_for("plain", SOURCES), *arrays, block_table=table)
    got = run(emulator_for(variant, SOURCES), *arrays, block_table=table, order=order)
    np.testing.assert_array_equal(got["out"], expected["out"])


@pytest.mark.parametrize("heads", [4, 40])
def test_traffic_is_the_minimum(emulator_for, rng, heads):
    """The cache once for 16 rows of a key/value head, however many splits; Q once a split."""
    q, k, v, lengths = tensors(rng, BFLOAT16, [512, 512], heads=heads, dim=64)
    result = run(emulator_for("plain", SOURCES), q, k, v, lengths, splits=4, counted=True)
    parts = next(c for name, c in result.kernels.items() if "combine" not in name)
    row_tiles = -(-heads // 2 // 16)
    blocks = 4 * row_tiles * 2 * 2
    rows = 2 * heads
    assert parts["blocks"] == blocks
    # Each thread reads the length.
    assert parts["global_read_bytes"] == (
        4 * q.nbytes + row_tiles * (k.nbytes + v.nbytes) + blocks * 128 * 4
    )
    assert parts["global_write_bytes"] == 4 * rows * (64 + 2) * 4
    assert parts["mma"] == 2 * row_tiles * 2 * 2 * 16 * 512 * 64 // (16 * 8 * 16)
    assert parts["barriers"] == blocks * (2 * 512 // 64 // 4 + 2)
    combine = next(c for name, c in result.kernels.items() if "combine" in name)
    assert combine["global_write_bytes"] == q.nbytes


def test_splits_fill_the_device(tmp_path):
    """As many parts as two blocks a multiprocessor take, none below 256 positions."""
    # Batch, queries, heads, kv_heads, capacity, blocks a sequence (0: not paged), multiprocessors.
    cases = {
        (1, 1, 8, 8, 65536, 0, 132): 33,
        (1, 1, 32, 8, 4096, 0, 132): 16,
        (64, 1, 32, 8, 4096, 0, 132): 1,
        (1, 1, 64, 1, 16, 4096, 108): 54,
        (1, 1, 1, 1, 2**20, 0, 132): 128,
        (0, 1, 8, 8, 65536, 0, 132): 1,
    }
    calls = "".join(
        "{AttentionDecode a{}; "
        f"a.batch = {b}; a.queries = {t}; a.heads = {h}; a.kv_heads = {g}; a.capacity = {c}; "
        f"a.blocks_per_sequence = {n}; a.block_table = {'&a' if n else 'nullptr'}; "
        f'std::printf("%d ", static_cast<int>(attention_decode_splits(a, {m})));}}\n'
        for b, t, h, g, c, n, m in cases
    )
    source = tmp_path / "splits.cpp"
    source.write_text(
        f'#include <cstdio>\n#include "attention_decode.h"\nint main() {{\n{calls}}}\n'
    )
    program = tmp_path / "splits"
    subprocess.run(
        [compiler(), "-std=c++20", "-I", str(KERNELS), str(source), "-o", str(program)], check=True
    )
    done = subprocess.run([program], capture_output=True, text=True, check=True)
    assert [int(n) for n in done.stdout.split()] == list(cases.values())


@pytest.mark.parametrize(
    "bad",
    [
        {"head_dim": 257},
        {"kv_heads": 3},
        {"dtype": 3},
        {"left": -1},
        {"splits": 0},
        {"capacity": 2**31},
    ],
    ids=str,
)
def test_bad_arguments_are_refused(emulator_for, rng, bad):
    arrays = tensors(rng, FLOAT16, [5])
    with pytest.raises(CudaError, match="error 1"):
        emulator_for("plain", SOURCES).call(
            "pyllm_cuda_attention_decode", "AttentionDecode", **{**problem(*arrays), **bad}
        )
