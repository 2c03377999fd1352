"""The CUDA attention backward through the emulator, against the float64 reference."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.cuda.attention_cases import (
    BFLOAT16,
    DTYPES,
    FLOAT16,
    FLOAT32,
    check_backward,
    check_forward,
    element_strides,
    filled,
    problem,
    problems,
    run_backward,
    run_both,
    run_forward,
    tensors,
)
from tests.cuda.emulator.build import KERNELS
from tests.cuda.emulator.client import ORDERS, CudaError, Out, inout
from tests.cuda.test_attention import OPTIONS, SHAPES, option_cases

FAMILIES = ("attention", "attention_backward", "attention_bias")
SOURCES = [KERNELS / f"{family}.cu" for family in FAMILIES]
GRADIENTS = ("dq", "dk", "dv", "dbias")


def check(emulator, q, k, v, grad, **options):
    check_backward(run_both(emulator, q, k, v, grad, **options), q, k, v, grad, **options)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("causal", [False, True], ids=["full", "causal"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_backward(emulator_for, rng, shape, causal, dtype):
    check(emulator_for("plain", SOURCES), *tensors(rng, shape, dtype), causal=causal)


@pytest.mark.parametrize("dtype", [FLOAT32, BFLOAT16], ids=str)
@pytest.mark.parametrize("name", OPTIONS)
def test_options(emulator_for, rng, name, dtype):
    arrays = tensors(rng, (70, 131, 2, 1, 32), dtype, batch=2)
    check(emulator_for("plain", SOURCES), *arrays, **option_cases(rng, 2, 2, 70, 131)[name])


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(case=problems(), seed=st.integers(0, 2**32 - 1))
def test_any_combination_of_options(emulator_for, case, seed):
    """Forward and backward."""
    shape, sizes, dtype, options = case
    rng = np.random.default_rng(seed)
    options = filled(rng, options)
    q, k, v, grad = tensors(rng, shape, dtype, **sizes)
    emulator = emulator_for("plain", SOURCES)
    forward = run_forward(emulator, q, k, v, **options)
    check_forward(forward, q, k, v, **options)
    backward = run_backward(
        emulator, grad, q, k, v, forward["out"], forward["lse"],
        need_dbias=options["bias"] is not None, **options,
    )  # fmt: skip
    check_backward(backward, q, k, v, grad, **options)


@pytest.mark.parametrize("dtype", [FLOAT32, BFLOAT16], ids=str)
@pytest.mark.parametrize("layout", ["heads first", "rows apart", "rows not of 16 bytes"])
def test_strides(emulator_for, rng, layout, dtype):
    """Arrays that are no C-ordered (batch, seq, heads, dim): each read and written in its place."""
    arrays = tensors(rng, (40, 70, 2, 1, 32), dtype, batch=2)
    emulator = emulator_for("plain", SOURCES)
    options = {"causal": True}
    forward = run_forward(emulator, *arrays[:3], **options)
    plain = run_backward(
        emulator, arrays[3], *arrays[:3], forward["out"], forward["lse"], **options
    )

    def laid_out(x):
        """The memory, and its strides of batch, seq and head."""
        if layout == "heads first":
            moved = np.ascontiguousarray(x.transpose(0, 2, 1, 3))
            batch, head, seq = element_strides(moved)
            return moved, (batch, seq, head)
        width = 48 if layout == "rows apart" else 33
        wide = np.zeros((*x.shape[:3], width), x.dtype)
        wide[..., : x.shape[3]] = x
        return wide, element_strides(wide)

    def back(memory):
        return memory.transpose(0, 2, 1, 3) if layout == "heads first" else memory[..., :32]

    memory, strides = zip(*(laid_out(x) for x in arrays), strict=True)
    fields = {
        **problem(*arrays[:3], **options), "q": memory[0], "k": memory[1], "v": memory[2],
        "q_strides": strides[0], "k_strides": strides[1], "v_strides": strides[2],
        "out_strides": strides[0],
    }  # fmt: skip
    fields["out"] = inout(laid_out(np.zeros_like(arrays[0]))[0])
    result = emulator.call("pyllm_cuda_attention_forward", "Attention", **fields)
    np.testing.assert_array_equal(back(result["out"]), forward["out"])
    fields["out"], fields["lse"] = result["out"], result["lse"]
    zeros = [inout(np.zeros_like(m)) for m in memory]
    gradients = emulator.call(
        "pyllm_cuda_attention_backward", "AttentionBackward",
        forward=fields, dout=memory[3], dout_strides=strides[3], delta=Out((2, 2, 40), np.float32),
        dq=zeros[0], dk=zeros[1], dv=zeros[2], dq_strides=strides[0], dk_strides=strides[1],
        dv_strides=strides[2], dbias=None, dbias_strides=(0,) * 4,
    )  # fmt: skip
    for name in ("dq", "dk", "dv"):
        np.testing.assert_array_equal(back(gradients[name]), plain[name])
        if layout != "heads first":
            np.testing.assert_array_equal(gradients[name][..., 32:], 0)


@pytest.mark.parametrize("summed", [(), (0,), (1,), (2,), (3,), (0, 1), (0, 1, 2), (0, 1, 2, 3)])
def test_bias_is_summed_over_its_broadcast_axes(emulator_for, rng, summed):
    shape = [1 if axis in summed else n for axis, n in enumerate((2, 2, 70, 131))]
    arrays = tensors(rng, (70, 131, 2, 1, 16), FLOAT32, batch=2)
    bias = rng.standard_normal(shape).astype(np.float32)
    check(emulator_for("plain", SOURCES), *arrays, bias=bias, causal=True, softcap=4.0)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("dim", "value_dim"), [(1, 1), (7, 19), (20, 8), (72, 33)])
def test_any_head_size(emulator_for, rng, dim, value_dim, dtype):
    arrays = tensors(rng, (20, 70, 2, 1, dim), dtype, value_dim=value_dim)
    check(emulator_for("plain", SOURCES), *arrays, causal=True)


def test_packed_sequences_are_attention_of_each(emulator_for, rng):
    lengths_q, lengths_k = (5, 0, 70, 1), (5, 3, 90, 0)
    cu_q, cu_k = (np.cumsum([0, *n]).astype(np.int32) for n in (lengths_q, lengths_k))
    q, k, v, grad = tensors(rng, (76, 98, 3, 1, 16), FLOAT32)
    bias = rng.standard_normal((4, 1, 70, 90)).astype(np.float32)
    options = {"causal": True, "window": (50, None), "alibi_slopes": np.ones(3, np.float32) / 8}
    result = run_both(
        emulator_for("plain", SOURCES), q, k, v, grad,
        cu_seqlens_q=cu_q, cu_seqlens_k=cu_k, bias=bias, **options,
    )  # fmt: skip
    for s in range(4):
        qs, ks = slice(cu_q[s], cu_q[s + 1]), slice(cu_k[s], cu_k[s + 1])
        inside = (slice(s, s + 1), slice(None), slice(lengths_q[s]), slice(lengths_k[s]))
        part = type(result)(
            {
                "dq": result["dq"][:, qs], "dk": result["dk"][:, ks], "dv": result["dv"][:, ks],
                "dbias": result["dbias"][inside],
            },
            {},
        )  # fmt: skip
        arrays = (q[:, qs], k[:, ks], v[:, ks], grad[:, qs])
        check_backward(part, *arrays, bias=bias[inside], **options)
        outside = result["dbias"][s].copy()
        outside[inside[1:]] = 0
        np.testing.assert_array_equal(outside, 0)


def test_rows_without_keys_and_keys_without_queries_give_zeros(emulator_for, rng):
    q, k, v, grad = tensors(rng, (150, 40, 1, 1, 32), FLOAT16, batch=2)
    mask = np.ones((2, 40), bool)
    mask[1] = False
    result = run_both(
        emulator_for("plain", SOURCES), q, k, v, grad, causal=True, key_padding_mask=mask
    )
    for empty in (result["dq"][0, :110], result["dq"][1], result["dk"][1], result["dv"][1]):
        np.testing.assert_array_equal(empty, 0)
    # A window that no query of the first keys reaches.
    q, k, v, grad = tensors(rng, (5, 200, 1, 1, 32), FLOAT16)
    result = run_both(emulator_for("plain", SOURCES), q, k, v, grad, window=(2, 0))
    for name in ("dk", "dv"):
        np.testing.assert_array_equal(result[name][0, :193], 0)
        assert (result[name][0, 195:] != 0).any(axis=(1, 2)).all()


@pytest.mark.parametrize("shape", [(0, 5, 1, 1, 16), (5, 0, 1, 1, 16)])
def test_nothing_on_one_side_gives_zeros(emulator_for, rng, shape):
    q, k, v, grad = tensors(rng, shape, FLOAT16)
    bias = np.zeros((1, 1, 1), np.float32)
    result = run_both(emulator_for("plain", SOURCES), q, k, v, grad, bias=bias)
    for name in GRADIENTS:
        np.testing.assert_array_equal(result[name], 0)


def test_what_lies_in_padding_does_not_matter(emulator_for, rng):
    q, k, v, grad = tensors(rng, (9, 100, 1, 1, 32), BFLOAT16)
    mask = rng.random((1, 100)) < 0.6
    results = []
    for filler in (0, np.nan):
        k[0, ~mask[0]] = v[0, ~mask[0]] = filler
        results.append(
            run_both(emulator_for("plain", SOURCES), q, k, v, grad, key_padding_mask=mask)
        )
    for name in ("dq", "dk", "dv"):
        np.testing.assert_array_equal(results[0][name], results[1][name])


@pytest.mark.parametrize("variant", ["asan", "tsan"])
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("dtype", "length"), [(FLOAT32, 70), (BFLOAT16, 130)], ids=str)
def test_sanitized_in_every_order(emulator_for, rng, variant, order, dtype, length):
    """At least three rounds of each pipeline, a group of two heads, ragged ends: the same bits in
    every order."""
    q, k, v, grad = tensors(rng, (length, length, 2, 1, 32), dtype)
    bias = rng.standard_normal((2, 1, length)).astype(np.float32)
    options = {"bias": bias, "dropout_p": 0.1, "causal": True, "need_dbias": True}
    expected = run_both(emulator_for("plain", SOURCES), q, k, v, grad, **options)
    got = run_both(
        emulator_for(variant, SOURCES), q, k, v, grad, order=order, order_seed=3, **options
    )
    for name in GRADIENTS:
        np.testing.assert_array_equal(got[name], expected[name])


@pytest.mark.parametrize("order", ORDERS)
def test_two_warps_a_row_of_keys(emulator_for, rng, order):
    """Heads of 256, where two warps share the columns of dK and dV."""
    arrays = tensors(rng, (40, 70, 1, 1, 136), BFLOAT16)
    expected = run_both(emulator_for("plain", SOURCES), *arrays)
    got = run_both(emulator_for("tsan", SOURCES), *arrays, order=order, order_seed=3)
    for name in ("dq", "dk", "dv"):
        np.testing.assert_array_equal(got[name], expected[name])


def kernel(result, name):
    (counts,) = (c for k, c in result.kernels.items() if name in k)
    return counts


@pytest.mark.parametrize("dim", [64, 128])
def test_traffic_is_the_minimum(emulator_for, rng, dim):
    """dK and dV: K and V once, Q and dout once a tile of 64 keys. dQ: Q and dout once, K and V once
    a tile of 64 queries. Statistics with the queries. Each gradient is written once."""
    q, k, v, grad = tensors(rng, (128, 192, 1, 1, dim), BFLOAT16)
    result = run_both(emulator_for("plain", SOURCES), q, k, v, grad, counted=True)
    statistics = 128 * 4
    steps = 64 if dim == 64 else 32
    products = 128 * 192 * dim // (16 * 8 * 16)

    delta = kernel(result, "attention_delta")
    assert delta["global_read_bytes"] == 2 * grad.nbytes
    assert delta["global_write_bytes"] == statistics
    kv = kernel(result, "attention_backward_kv")
    tiles = 192 // 64
    assert kv["global_read_bytes"] == 2 * k.nbytes + tiles * 2 * (q.nbytes + statistics)
    assert kv["global_write_bytes"] == 2 * k.nbytes
    assert kv["mma"] == 4 * products
    assert kv["barriers"] == tiles * (2 * (128 // steps) + 1)
    dq = kernel(result, "attention_backward_q")
    tiles = 128 // 64
    assert dq["global_read_bytes"] == 2 * (q.nbytes + statistics) + tiles * 2 * k.nbytes
    assert dq["global_write_bytes"] == q.nbytes
    assert dq["mma"] == 3 * products
    assert dq["barriers"] == tiles * (2 * (192 // steps) + 1)
    for counts in (delta, kv, dq):
        assert counts["sectors"] == counts["ideal_sectors"]
        assert counts["wavefronts"] == counts["ideal_wavefronts"]
        assert counts["atomics"] == 0


def test_a_group_shares_its_keys(emulator_for, rng):
    """Two query heads, one key/value head: K and V are read, dK and dV written, once for both."""
    q, k, v, grad = tensors(rng, (128, 64, 2, 1, 64), BFLOAT16)
    result = run_both(emulator_for("plain", SOURCES), q, k, v, grad, counted=True)
    kv = kernel(result, "attention_backward_kv")
    assert kv["blocks"] == 1
    assert kv["global_read_bytes"] == 2 * (k.nbytes + q.nbytes + 2 * 128 * 4)
    assert kv["global_write_bytes"] == 2 * k.nbytes


@pytest.mark.parametrize("causal", [False, True], ids=["full", "causal"])
def test_tiles_that_nobody_sees_are_not_read(emulator_for, rng, causal):
    """Of the 4 x 4 pairs of tiles, 10 under a causal mask."""
    q, k, v, grad = tensors(rng, (256, 256, 1, 1, 64), BFLOAT16)
    options = {"causal": causal, "counted": True}
    result = run_both(emulator_for("plain", SOURCES), q, k, v, grad, **options)
    pairs, tile, statistics = 10 if causal else 16, 64 * 64 * 2, 2 * 64 * 4
    kv = kernel(result, "attention_backward_kv")
    assert kv["global_read_bytes"] == 2 * k.nbytes + pairs * (2 * tile + statistics)
    dq = kernel(result, "attention_backward_q")
    assert dq["global_read_bytes"] == 2 * q.nbytes + 2 * 256 * 4 + pairs * 2 * tile


def test_traffic_of_the_bias_gradient(emulator_for, rng):
    """Each pair of tiles once, dbias written once."""
    q, k, v, grad = tensors(rng, (128, 192, 1, 1, 64), BFLOAT16)
    bias = rng.standard_normal((128, 192)).astype(np.float32)
    result = run_both(emulator_for("plain", SOURCES), q, k, v, grad, bias=bias, counted=True)
    counts = kernel(result, "attention_backward_bias")
    pairs, tile_bytes, statistics = 6, 64 * 64 * 2, 2 * 64 * 4
    assert counts["global_read_bytes"] == pairs * (4 * tile_bytes + statistics) + bias.nbytes
    assert counts["global_write_bytes"] == bias.nbytes
    assert counts["mma"] == 2 * 128 * 192 * 64 // (16 * 8 * 16)


@pytest.mark.parametrize("bad", [{"head_dim": 257}, {"dtype": 3}, {"right": -1}], ids=str)
def test_bad_arguments_are_refused(emulator_for, rng, bad):
    q, k, v, grad = tensors(rng, (4, 4, 2, 2, 32), FLOAT16)
    lse = np.zeros((1, 2, 4), np.float32)
    emulator = emulator_for("plain", SOURCES)
    arguments = {
        "forward": {**problem(q, k, v, out=grad, lse=lse), **bad},
        "dout": grad, "delta": lse, "dq": q, "dk": k, "dv": v, "dbias": None,
        "dout_strides": (0,) * 3, "dq_strides": (0,) * 3, "dk_strides": (0,) * 3,
        "dv_strides": (0,) * 3, "dbias_strides": (0,) * 4,
    }  # fmt: skip
    for launcher in ("attention_backward", "attention_bias_backward"):
        with pytest.raises(CudaError, match="error 1"):
            emulator.call(f"pyllm_cuda_{launcher}", "AttentionBackward", **arguments)
