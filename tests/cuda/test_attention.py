"""The CUDA attention forward through the emulator, against the float64 reference."""

import ml_dtypes
import numpy as np
import pytest

from tests.cuda.emulator.build import KERNELS
from tests.cuda.emulator.client import ORDERS, CudaError, Out
from tests.reference import attention as reference
from tests.tolerance import roundoff

SOURCES = [KERNELS / "attention.cu"]
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
FLOAT16 = np.dtype(np.float16)
UNLIMITED = 2**61
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


def tensors(rng, shape, dtype, batch=1):
    queries, keys, heads, kv_heads, dim = shape
    return (
        rng.standard_normal((batch, queries, heads, dim)).astype(dtype),
        rng.standard_normal((batch, keys, kv_heads, dim)).astype(dtype),
        rng.standard_normal((batch, keys, kv_heads, dim)).astype(dtype),
    )


def arguments(q, k, v, *, causal=False, window=None, scale=None, softcap=None):
    batch, queries, heads, dim = q.shape
    left, right = window or (None, None)
    return {
        "q": q, "k": k, "v": v,
        "out": Out(q.shape, q.dtype),
        "lse": Out((batch, heads, queries), np.float32),
        "batch": batch, "queries": queries, "keys": k.shape[1],
        "heads": heads, "kv_heads": k.shape[2], "head_dim": dim,
        "q_strides": element_strides(q), "k_strides": element_strides(k),
        "v_strides": element_strides(v), "out_strides": element_strides(q),
        "left": UNLIMITED if left is None else left,
        "right": 0 if causal else UNLIMITED if right is None else right,
        "scale": dim**-0.5 if scale is None else scale,
        "softcap": softcap or 0.0,
        "dtype": q.dtype,
    }  # fmt: skip


def element_strides(array):
    return tuple(s // array.itemsize for s in array.strides[:3])


def forward(emulator, q, k, v, *, order="forward", order_seed=0, counted=False, **options):
    return emulator.call(
        "pyllm_cuda_attention_forward",
        "AttentionForward",
        order=order,
        order_seed=order_seed,
        counted=counted,
        **arguments(q, k, v, **options),
    )


def check(result, q, k, v, **options):
    wide = [x.astype(np.float64) for x in (q, k, v)]
    out, lse = reference.attention(*wide, **options)
    u = roundoff(q.dtype)
    # P is rounded to the storage type before it meets V, and so is the result.
    bound = 2.02 * u * np.abs(wide[2]).max(initial=0) + 1e-5
    got = result["out"].astype(np.float64)
    np.testing.assert_array_less(np.abs(got - out), bound)
    seen = np.isfinite(lse)
    np.testing.assert_array_equal(np.isneginf(result["lse"]), ~seen)
    np.testing.assert_allclose(result["lse"][seen], lse[seen], rtol=4e-6, atol=4e-6)
    np.testing.assert_array_equal(got.transpose(0, 2, 1, 3)[~seen], 0)


@pytest.mark.parametrize("dtype", [FLOAT16, BFLOAT16], ids=str)
@pytest.mark.parametrize("causal", [False, True], ids=["full", "causal"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_forward(emulator_for, rng, shape, causal, dtype):
    q, k, v = tensors(rng, shape, dtype)
    check(forward(emulator_for("plain", SOURCES), q, k, v, causal=causal), q, k, v, causal=causal)


@pytest.mark.parametrize(
    "options",
    [
        {"window": (20, 0)},
        {"window": (3, 70)},
        {"softcap": 2.0},
        {"scale": 0.3, "causal": True},
        {"causal": True, "window": (64, None)},
    ],
    ids=str,
)
def test_options(emulator_for, rng, options):
    q, k, v = tensors(rng, (100, 230, 2, 1, 64), BFLOAT16, batch=2)
    check(forward(emulator_for("plain", SOURCES), q, k, v, **options), q, k, v, **options)


def test_queries_that_see_no_key(emulator_for, rng):
    """More queries than keys under a causal mask: the first ones see nothing."""
    q, k, v = tensors(rng, (150, 40, 1, 1, 32), FLOAT16)
    check(forward(emulator_for("plain", SOURCES), q, k, v, causal=True), q, k, v, causal=True)


def test_no_keys_at_all(emulator_for, rng):
    q, k, v = tensors(rng, (10, 0, 1, 1, 32), FLOAT16)
    result = forward(emulator_for("plain", SOURCES), q, k, v)
    np.testing.assert_array_equal(result["out"], 0)
    assert np.isneginf(result["lse"]).all()


@pytest.mark.parametrize("variant", ["asan", "tsan"])
@pytest.mark.parametrize("order", ORDERS)
def test_sanitized_in_every_order(emulator_for, rng, variant, order):
    """Four rounds of the pipeline, ragged at both ends: the same bits in every order."""
    q, k, v = tensors(rng, (66, 250, 1, 1, 32), BFLOAT16)
    expected = forward(emulator_for("plain", SOURCES), q, k, v)
    got = forward(emulator_for(variant, SOURCES), q, k, v, order=order, order_seed=3)
    np.testing.assert_array_equal(got["out"], expected["out"])
    np.testing.assert_array_equal(got["lse"], expected["lse"])


@pytest.mark.parametrize(("dim", "conflicts"), [(32, 512), (64, 0), (96, 512), (128, 0)])
def test_traffic_is_the_minimum(emulator_for, rng, dim, conflicts):
    """Q and out once, K and V once a tile of 64 queries, lse once.

    Bank conflicts: none where a row is a multiple of 128 bytes. Otherwise eight lanes that copy 16
    bytes each go across a row's end, and the padding there puts two of them in the same banks.
    """
    q, k, v = tensors(rng, (128, 192, 1, 1, dim), BFLOAT16)
    (counts,) = forward(emulator_for("plain", SOURCES), q, k, v, counted=True).kernels.values()
    assert counts["global_read_bytes"] == q.nbytes + 2 * (k.nbytes + v.nbytes)
    assert counts["global_write_bytes"] == q.nbytes + 128 * 4
    assert counts["sectors"] == counts["ideal_sectors"]
    assert counts["wavefronts"] - counts["ideal_wavefronts"] == conflicts
    assert counts["mma"] == 2 * (128 * 192 * dim) // (16 * 8 * 16)
    assert counts["barriers"] == 2 * (2 * 3 + 1)


@pytest.mark.parametrize(
    "bad",
    [
        {"head_dim": 264},
        {"head_dim": 12},
        {"kv_heads": 3},
        {"dtype": 0},
        {"left": -1},
        {"q_strides": (4, 4, 4)},
    ],
    ids=str,
)
def test_bad_arguments_are_refused(emulator_for, rng, bad):
    q, k, v = tensors(rng, (4, 4, 2, 2, 32), FLOAT16)
    with pytest.raises(CudaError, match="error 1"):
        emulator_for("plain", SOURCES).call(
            "pyllm_cuda_attention_forward", "AttentionForward", **{**arguments(q, k, v), **bad}
        )
