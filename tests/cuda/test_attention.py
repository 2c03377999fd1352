"""The CUDA attention forward through the emulator, against the float64 reference."""

from itertools import pairwise

import numpy as np
import pytest

from tests.cuda.attention_cases import (
    BFLOAT16,
    DTYPES,
    FLOAT16,
    FLOAT32,
    check_forward,
    problem,
    run_forward,
    tensors,
)
from tests.cuda.emulator.build import KERNELS
from tests.cuda.emulator.client import ORDERS, CudaError

SOURCES = [KERNELS / "attention.cu"]
# Queries, keys, heads, kv_heads, head_dim.
SHAPES = [
    (1, 1, 1, 1, 8),
    (64, 64, 2, 2, 64),
    (70, 200, 2, 1, 32),
    (5, 300, 4, 2, 64),
    (130, 130, 2, 2, 40),
    (65, 129, 1, 1, 96),
    (33, 190, 2, 1, 128),
    (66, 100, 1, 1, 256),
]


def check(emulator, q, k, v, **options):
    check_forward(run_forward(emulator, q, k, v, **options), q, k, v, **options)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("causal", [False, True], ids=["full", "causal"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_forward(emulator_for, rng, shape, causal, dtype):
    q, k, v, _ = tensors(rng, shape, dtype)
    check(emulator_for("plain", SOURCES), q, k, v, causal=causal)


def option_cases(rng, batch, heads, tq, tk):
    """Each option alone and all together."""
    bias = rng.standard_normal((batch, heads, tq, tk)).astype(np.float32)
    mask = rng.random((batch, tk)) < 0.7
    slopes = rng.random((batch, heads)).astype(np.float32) / 4
    cases = {
        "window": {"window": (20, 0)},
        "two-sided window": {"window": (3, 70)},
        "causal window": {"causal": True, "window": (64, None)},
        "scale": {"scale": 0.3, "causal": True},
        "softcap": {"softcap": 2.0},
        "bias": {"bias": bias},
        "bias of a head": {"bias": bias[:1, :, :, :].astype(BFLOAT16)},
        "bias of a key": {"bias": bias[0, :1, :1, :].astype(FLOAT16)},
        "key mask": {"key_padding_mask": mask},
        "alibi": {"alibi_slopes": slopes[0]},
        "dropout": {"dropout_p": 0.3, "seed": 2**40 + 5, "stream": 7},
    }
    cases["all"] = {
        "window": (90, 40), "softcap": 3.0, "bias": bias, "key_padding_mask": mask,
        "alibi_slopes": slopes, "dropout_p": 0.2, "seed": 3, "stream": 2**33,
    }  # fmt: skip
    return cases


OPTIONS = list(option_cases(np.random.default_rng(0), 1, 1, 1, 1))


@pytest.mark.parametrize("dtype", [FLOAT32, BFLOAT16], ids=str)
@pytest.mark.parametrize("name", OPTIONS)
def test_options(emulator_for, rng, name, dtype):
    """An odd number of keys, so that rows of the dropout stream begin anywhere in a block."""
    q, k, v, _ = tensors(rng, (70, 131, 2, 1, 32), dtype, batch=2)
    check(emulator_for("plain", SOURCES), q, k, v, **option_cases(rng, 2, 2, 70, 131)[name])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("dim", "value_dim"), [(1, 1), (7, 19), (20, 8), (72, 33)])
def test_any_head_size(emulator_for, rng, dim, value_dim, dtype):
    """Also sizes whose rows are no multiple of 16 bytes, and values of another size than keys."""
    q, k, v, _ = tensors(rng, (20, 70, 2, 1, dim), dtype, value_dim=value_dim)
    check(emulator_for("plain", SOURCES), q, k, v, causal=True)


@pytest.mark.parametrize("integers", [np.int32, np.int64])
def test_packed_sequences_are_attention_of_each(emulator_for, rng, integers):
    lengths_q, lengths_k = (5, 0, 70, 1), (5, 3, 90, 0)
    cu_q, cu_k = (np.cumsum([0, *n]).astype(integers) for n in (lengths_q, lengths_k))
    q, k, v, _ = tensors(rng, (76, 98, 3, 1, 16), FLOAT16)
    bias = rng.standard_normal((4, 1, 70, 90)).astype(np.float32)
    options = {"causal": True, "window": (50, None), "alibi_slopes": np.ones(3, np.float32) / 8}
    result = run_forward(
        emulator_for("plain", SOURCES), q, k, v,
        cu_seqlens_q=cu_q, cu_seqlens_k=cu_k, bias=bias, **options,
    )  # fmt: skip
    for s in range(4):
        qs, ks = slice(cu_q[s], cu_q[s + 1]), slice(cu_k[s], cu_k[s + 1])
        part = {"out": result["out"][:, qs], "lse": result["lse"][:, :, qs]}
        one = bias[s : s + 1, :, : lengths_q[s], : lengths_k[s]]
        check_forward(part, q[:, qs], k[:, ks], v[:, ks], bias=one, **options)


def test_packed_dropout_counts_all_tokens(emulator_for, rng):
    cu = np.array([0, 30, 77], np.int32)
    q, k, v, _ = tensors(rng, (77, 77, 2, 2, 16), FLOAT32)
    options = {"dropout_p": 0.4, "seed": 9, "stream": 1}
    result = run_forward(emulator_for("plain", SOURCES), q, k, v, cu_seqlens_q=cu, **options)
    apart = np.full((77, 77), -np.inf, np.float32)
    for begin, end in pairwise(cu):
        apart[begin:end, begin:end] = 0
    check_forward(result, q, k, v, bias=apart, **options)


def test_offsets_out_of_range_touch_nothing_else(emulator_for, rng):
    q, k, v, _ = tensors(rng, (20, 20, 1, 1, 16), FLOAT16)
    arguments = problem(q, k, v, cu_seqlens_q=np.array([0, 12, 20], np.int32))
    arguments["q_starts"] = arguments["k_starts"] = np.array([-3, 2**31 - 1, 5], np.int32)
    emulator_for("plain", SOURCES).call("pyllm_cuda_attention_forward", "Attention", **arguments)


def test_queries_that_see_no_key(emulator_for, rng):
    """More queries than keys under a causal mask; a sequence padded away; a bias of -inf."""
    q, k, v, _ = tensors(rng, (150, 40, 1, 1, 32), FLOAT16, batch=2)
    check(emulator_for("plain", SOURCES), q, k, v, causal=True)
    mask = np.ones((2, 40), bool)
    mask[1] = False
    check(emulator_for("plain", SOURCES), q, k, v, key_padding_mask=mask)
    hidden = np.full((40,), -np.inf, np.float32)
    check(emulator_for("plain", SOURCES), q, k, v, bias=hidden)


def test_no_keys_at_all(emulator_for, rng):
    q, k, v, _ = tensors(rng, (10, 0, 1, 1, 32), FLOAT16)
    result = run_forward(emulator_for("plain", SOURCES), q, k, v)
    np.testing.assert_array_equal(result["out"], 0)
    assert np.isneginf(result["lse"]).all()


def test_what_lies_in_padding_does_not_matter(emulator_for, rng):
    q, k, v, _ = tensors(rng, (9, 100, 1, 1, 32), BFLOAT16)
    mask = rng.random((1, 100)) < 0.6
    results = []
    for filler in (0, np.nan):
        k[0, ~mask[0]] = v[0, ~mask[0]] = filler
        results.append(run_forward(emulator_for("plain", SOURCES), q, k, v, key_padding_mask=mask))
    for name in ("out", "lse"):
        np.testing.assert_array_equal(results[0][name], results[1][name])


def test_nan_reaches_the_queries_that_see_it(emulator_for, rng):
    q, k, v, _ = tensors(rng, (70, 70, 1, 1, 16), FLOAT32)
    k[0, 3] = np.nan
    out = run_forward(emulator_for("plain", SOURCES), q, k, v, causal=True)["out"]
    assert np.isfinite(out[0, :3]).all()
    assert np.isnan(out[0, 3:]).all()


@pytest.mark.parametrize("variant", ["asan", "tsan"])
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("dtype", "keys"), [(FLOAT32, 101), (BFLOAT16, 201)], ids=str)
def test_sanitized_in_every_order(emulator_for, rng, variant, order, dtype, keys):
    """Four rounds of the pipeline, ragged at both ends: the same bits in every order."""
    q, k, v, _ = tensors(rng, (130, keys, 1, 1, 32), dtype)
    bias = rng.standard_normal((130, keys)).astype(np.float32)
    options = {"bias": bias, "dropout_p": 0.1, "key_padding_mask": rng.random((1, keys)) < 0.9}
    expected = run_forward(emulator_for("plain", SOURCES), q, k, v, **options)
    got = run_forward(emulator_for(variant, SOURCES), q, k, v, order=order, order_seed=3, **options)
    np.testing.assert_array_equal(got["out"], expected["out"])
    np.testing.assert_array_equal(got["lse"], expected["lse"])


@pytest.mark.parametrize(
    ("dim", "tile", "step", "across"),
    [(32, 128, 64, True), (64, 128, 64, False), (96, 64, 64, True), (128, 64, 48, False)],
)
def test_traffic_is_the_minimum(emulator_for, rng, dim, tile, step, across):
    """Q and out once, K and V once a tile of queries, lse once.

    Bank conflicts: none where a row is a multiple of 128 bytes. Otherwise eight lanes that move 16
    bytes each go across a row's end, every second row, and the padding there puts two of them in
    the same banks.
    """
    queries, keys = 256, 192
    q, k, v, _ = tensors(rng, (queries, keys, 1, 1, dim), BFLOAT16)
    (counts,) = run_forward(emulator_for("plain", SOURCES), q, k, v, counted=True).kernels.values()
    tiles = queries // tile
    assert counts["global_read_bytes"] == q.nbytes + tiles * (k.nbytes + v.nbytes)
    assert counts["global_write_bytes"] == q.nbytes + queries * 4
    assert counts["sectors"] == counts["ideal_sectors"]
    rows_moved = 2 * queries + tiles * 2 * keys
    conflicts = rows_moved // 2 if across else 0
    assert counts["wavefronts"] - counts["ideal_wavefronts"] == conflicts
    assert counts["mma"] == 2 * (queries * keys * dim) // (16 * 8 * 16)
    assert counts["barriers"] == tiles * (2 * (keys // step) + 1)


def test_two_tiles_of_a_warp_share_what_they_read_of_keys(emulator_for, rng):
    """32 queries a warp: one wavefront of K or V in shared memory for each product, not two."""
    q, k, v, _ = tensors(rng, (128, 64, 1, 1, 64), BFLOAT16)
    (counts,) = run_forward(emulator_for("plain", SOURCES), q, k, v, counted=True).kernels.values()
    copies = (128 + 64 + 64) * 64 * 2 // 128  # into shared memory
    own = 2 * 128 * 64 * 2 // 128 + 128 * 64 * 2 // 128  # Q to registers; out there and back
    keys_and_values = 4 * 2 * 64 * 64 * 2 // 128  # by four warps
    assert counts["wavefronts"] == copies + own + keys_and_values


def test_traffic_of_float32(emulator_for, rng):
    q, k, v, _ = tensors(rng, (256, 96, 1, 1, 64), FLOAT32)
    (counts,) = run_forward(emulator_for("plain", SOURCES), q, k, v, counted=True).kernels.values()
    assert counts["global_read_bytes"] == q.nbytes + 2 * (k.nbytes + v.nbytes)
    assert counts["global_write_bytes"] == q.nbytes + 256 * 4
    assert counts["sectors"] == counts["ideal_sectors"]
    # The accumulators of out, pairs of 8 bytes, meet in the banks on their way out: a wavefront
    # more for each half warp and pair.
    assert counts["wavefronts"] - counts["ideal_wavefronts"] == 256 * 64 // 2 // 16
    assert counts["mma"] == 0
    assert counts["barriers"] == 2 * (2 * 3 + 1)


def test_a_bias_is_read_once(emulator_for, rng):
    q, k, v, _ = tensors(rng, (128, 192, 1, 1, 64), BFLOAT16)
    bias = rng.standard_normal((128, 192)).astype(np.float32)
    (plain,) = run_forward(emulator_for("plain", SOURCES), q, k, v, counted=True).kernels.values()
    result = run_forward(emulator_for("plain", SOURCES), q, k, v, bias=bias, counted=True)
    (counts,) = result.kernels.values()
    assert counts["global_read_bytes"] - plain["global_read_bytes"] == bias.nbytes
    assert counts["global_write_bytes"] == plain["global_write_bytes"]


@pytest.mark.parametrize(
    "bad",
    [
        {"head_dim": 257},
        {"value_dim": 0},
        {"kv_heads": 3},
        {"dtype": 3},
        {"left": -1},
        {"keys": 2**31},
        {"softcap": -1.0},
        {"threshold": 2**32},
        {"bias_dtype": 7},
        {"q_starts": np.zeros(2, np.int32)},
    ],
    ids=str,
)
def test_bad_arguments_are_refused(emulator_for, rng, bad):
    q, k, v, _ = tensors(rng, (4, 4, 2, 2, 32), FLOAT16)
    with pytest.raises(CudaError, match="error 1"):
        emulator_for("plain", SOURCES).call(
            "pyllm_cuda_attention_forward", "Attention", **{**problem(q, k, v), **bad}
        )
