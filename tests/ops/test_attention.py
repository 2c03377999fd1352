import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyllm import memory
from tests.backends import ops
from tests.reference import attention as reference
from tests.reference import philox
from tests.tolerance import assert_close, stored_weights

GRADIENTS = ("dq", "dk", "dv", "dbias")


def inputs(rng, batch, tq, tk, heads, kv_heads, dim, value_dim=None, dtype=np.float32):
    """query, key, value, grad"""
    value_dim = value_dim or dim
    shapes = [
        (batch, tq, heads, dim),
        (batch, tk, kv_heads, dim),
        (batch, tk, kv_heads, value_dim),
        (batch, tq, heads, value_dim),
    ]
    return [rng.normal(size=shape).astype(dtype) for shape in shapes]


def all_results(query, key, value, grad, **options):
    """(results, references, scales) by name."""
    need_dbias = options.get("bias") is not None
    out, lse = ops.attention(query, key, value, return_lse=True, **options)
    gradients = ops.attention_backward(
        grad, query, key, value, out, lse, need_dbias=need_dbias, **options
    )
    got = dict(zip(GRADIENTS, gradients, strict=True), out=out, lse=lse)
    expected_out, expected_lse = reference.attention(query, key, value, **options)
    expected = dict(
        zip(
            GRADIENTS,
            reference.attention_backward(grad, query, key, value, **options),
            strict=True,
        ),
        out=expected_out,
        lse=expected_lse,
    )
    return got, expected, reference.scales(query, key, value, grad, **options)


def check(query, key, value, grad, backend=None, **options):
    got, expected, scale = all_results(query, key, value, grad, **options)
    longest = max(query.shape[1], key.shape[1], query.shape[3], value.shape[3], 1)
    for name, result in got.items():
        if expected[name] is None:
            assert result is None
            continue
        count = 12 + 2 * longest**0.5 + stored_weights(backend, result.dtype)
        assert_close(result, expected[name], ops=count, scale=scale[name])


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((1, 1, 1, 1, 1, 1), {}),
        ((2, 70, 70, 2, 2, 16), {}),
        ((1, 131, 131, 2, 1, 64), {"causal": True}),
        ((2, 33, 97, 4, 2, 40), {"causal": True}),
        ((2, 97, 33, 4, 2, 7, 19), {"causal": True}),
        ((1, 150, 150, 1, 1, 8), {"window": (20, 9)}),
        ((1, 300, 300, 1, 1, 8), {"window": (70, None), "causal": True}),
    ],
)
def test_against_reference(backend, dtype, shape, options, rng):
    query, key, value, grad = inputs(rng, *shape, dtype=dtype)
    check(query, key, value, grad, backend, **options)


@st.composite
def problems(draw):
    """Shapes and any combination of options."""
    batch, kv_heads = draw(st.integers(0, 2)), draw(st.integers(1, 2))
    heads = kv_heads * draw(st.integers(1, 3))
    tq, tk = draw(st.integers(0, 80)), draw(st.integers(0, 140))
    dim, value_dim = draw(st.integers(1, 20)), draw(st.integers(1, 20))
    side = st.one_of(st.none(), st.integers(0, 60))
    repeated = draw(st.lists(st.booleans(), min_size=4, max_size=4))
    full = (batch, heads, tq, tk)
    missing = draw(st.integers(0, 3))
    bias = tuple(1 if once else n for once, n in zip(repeated, full, strict=True))[missing:]
    options = {
        "causal": draw(st.booleans()),
        "window": draw(st.one_of(st.none(), st.tuples(side, side))),
        "scale": draw(st.one_of(st.none(), st.floats(0.05, 1))),
        "softcap": draw(st.one_of(st.none(), st.floats(0.5, 30))),
        "bias": draw(st.one_of(st.none(), st.just(bias))),
        "alibi_slopes": draw(st.sampled_from([None, (heads,), (batch, heads)])),
        "key_padding_mask": draw(st.sampled_from([None, (batch, tk)])),
        "dropout_p": draw(st.sampled_from([0.0, 0.0, 0.3])),
        "seed": draw(st.integers(0, 2**64 - 1)),
        "stream": draw(st.integers(0, 2**64 - 1)),
    }
    return (batch, tq, tk, heads, kv_heads, dim, value_dim), options


@given(problem=problems(), seed=st.integers(0, 2**32 - 1))
def test_any_combination_of_options(backend, problem, seed):
    shape, options = problem
    rng = np.random.default_rng(seed)
    if options["bias"] is not None:
        options["bias"] = rng.normal(size=options["bias"]).astype(np.float32)
    if options["alibi_slopes"] is not None:
        options["alibi_slopes"] = rng.random(options["alibi_slopes"], np.float32)
    if options["key_padding_mask"] is not None:
        options["key_padding_mask"] = rng.random(options["key_padding_mask"]) < 0.8
    check(*inputs(rng, *shape), backend, **options)


def test_gradient_by_differences(rng):
    query, key, value, grad = inputs(rng, 2, 4, 5, 4, 2, 3, dtype=np.float64)
    arrays = [query, key, value, rng.normal(size=(1, 4, 4, 5))]
    options = {
        "causal": True,
        "softcap": 1.5,
        "scale": 0.9,
        "alibi_slopes": rng.random(4).astype(np.float32),
        "key_padding_mask": np.array([[1, 1, 1, 1, 1], [1, 0, 1, 1, 1]], bool),
        "dropout_p": 0.25,
        "seed": 3,
    }

    def run(query, key, value, bias):
        return ops.attention(query, key, value, bias=bias, return_lse=True, **options)

    out, lse = run(*arrays)
    gradients = ops.attention_backward(
        grad, *arrays[:3], out, lse, bias=arrays[3], need_dbias=True, **options
    )
    step = 1e-5
    for array, gradient in zip(arrays, gradients, strict=True):
        direction = rng.normal(size=array.shape)
        before = array.copy()
        array[...] = before + step * direction
        plus = (run(*arrays)[0] * grad).sum()
        array[...] = before - step * direction
        minus = (run(*arrays)[0] * grad).sum()
        array[...] = before
        assert (gradient * direction).sum() == pytest.approx((plus - minus) / (2 * step), abs=1e-8)


@pytest.mark.parametrize("kv_heads", [1, 3])
@pytest.mark.parametrize("lengths", [([5, 0, 90, 1], [5, 3, 90, 0]), ([64, 65], [130, 40])])
def test_packed_sequences(backend, kv_heads, lengths, rng):
    lengths_q, lengths_k = lengths
    cu_q, cu_k = (np.cumsum([0, *n]).astype(np.int32) for n in lengths)
    query, key, value, grad = inputs(rng, 1, cu_q[-1], cu_k[-1], 3, kv_heads, 12)
    query, key, value, grad = query[0], key[0], value[0], grad[0]
    bias = rng.normal(size=(len(lengths_q), 1, max(lengths_q), max(lengths_k))).astype(np.float32)
    options = {"causal": True, "window": (50, None), "alibi_slopes": np.ones(3, np.float32) / 8}
    if backend.startswith("cpu"):  # the CUDA kernels read both as one dtype
        cu_k = cu_k.astype(np.int64)
    packed = {"cu_seqlens_q": cu_q, "cu_seqlens_k": cu_k, "bias": bias}
    out, lse = ops.attention(query, key, value, return_lse=True, **packed, **options)
    assert lse.shape == (3, cu_q[-1])
    dq, dk, dv, dbias = ops.attention_backward(
        grad, query, key, value, out, lse, need_dbias=True, **packed, **options
    )
    for s in range(len(lengths_q)):
        qs, ks = slice(cu_q[s], cu_q[s + 1]), slice(cu_k[s], cu_k[s + 1])
        one = [query[None, qs], key[None, ks], value[None, ks], grad[None, qs]]
        part = bias[s : s + 1, :, : lengths_q[s], : lengths_k[s]]
        got, _, _ = all_results(*one, bias=part, **options)
        close = {"rtol": 1e-5, "atol": 1e-5}
        np.testing.assert_allclose(out[qs], got["out"][0], **close)
        np.testing.assert_allclose(lse[:, qs], got["lse"][0], **close)
        np.testing.assert_allclose(dq[qs], got["dq"][0], **close)
        np.testing.assert_allclose(dk[ks], got["dk"][0], **close)
        np.testing.assert_allclose(dv[ks], got["dv"][0], **close)
        inside = dbias[s : s + 1, :, : lengths_q[s], : lengths_k[s]]
        np.testing.assert_allclose(inside, got["dbias"], **close)


def test_rows_without_keys_give_zeros(backend, dtype, rng):
    query, key, value, grad = inputs(rng, 2, 40, 20, 2, 1, 8, dtype=dtype)
    mask = np.ones((2, 20), bool)
    mask[1] = False
    options = {"causal": True, "key_padding_mask": mask}
    out, lse = ops.attention(query, key, value, return_lse=True, **options)
    dq, dk, dv, _ = ops.attention_backward(grad, query, key, value, out, lse, **options)
    for empty in (out[0, :20], out[1], dq[0, :20], dq[1], dk[1], dv[1]):
        assert (empty == 0).all()
    assert np.isneginf(lse[0, :, :20]).all()
    assert np.isneginf(lse[1]).all()
    assert np.isfinite(lse[0, :, 20:]).all()
    # ... and so does a bias of -inf.
    hidden = np.full((20,), -np.inf, np.float32)
    out, lse = ops.attention(query, key, value, bias=hidden, return_lse=True)
    assert (out == 0).all()
    gradients = ops.attention_backward(
        grad, query, key, value, out, lse, bias=hidden, need_dbias=True
    )
    assert all((g == 0).all() for g in gradients)


def test_what_lies_in_padding_does_not_matter(backend, rng):
    query, key, value, grad = inputs(rng, 1, 9, 100, 2, 2, 8)
    mask = rng.random((1, 100)) < 0.6
    results = []
    for filler in (0, np.nan):
        for array in (key, value):
            array[0, ~mask[0]] = filler
        out, lse = ops.attention(query, key, value, key_padding_mask=mask, return_lse=True)
        gradients = ops.attention_backward(grad, query, key, value, out, lse, key_padding_mask=mask)
        results.append([out, lse, *gradients[:3]])
    for clean, dirty in zip(*results, strict=True):
        np.testing.assert_array_equal(clean, dirty)


def test_special_values(rng):
    query, key, value, _ = inputs(rng, 1, 70, 70, 1, 1, 16)
    key[0, 3] = np.nan
    out = ops.attention(query, key, value, causal=True)
    assert np.isfinite(out[0, :3]).all()
    assert np.isnan(out[0, 3:]).all()
    query, key, value, _ = inputs(rng, 1, 5, 70, 1, 1, 16)
    query *= 1e15
    out, lse = ops.attention(query, key, value, return_lse=True)
    assert np.isfinite(lse).all()
    best = np.einsum("qd,kd->qk", query[0, :, 0].astype(np.float64), key[0, :, 0]).argmax(1)
    np.testing.assert_allclose(out[0, :, 0], value[0, best, 0], rtol=1e-6)


def test_slices_of_packed_buffers(backend, rng):
    batch, t, heads, kv_heads, dim = 2, 40, 4, 2, 8
    packed = rng.normal(size=(batch, t, heads + 2 * kv_heads, dim)).astype(np.float32)
    query, key, value = np.split(packed, [heads, heads + kv_heads], axis=2)
    grad = rng.normal(size=query.shape).astype(np.float32)
    expected, lse = ops.attention(*(np.ascontiguousarray(x) for x in (query, key, value)),
                                  causal=True, return_lse=True)  # fmt: skip
    wide = np.zeros((batch, t, heads, 2 * dim), np.float32)
    out = ops.attention(query, key, value, causal=True, out=wide[..., dim:])
    np.testing.assert_array_equal(out, expected)
    assert (wide[..., :dim] == 0).all()
    gradients = np.full_like(packed, np.nan)
    dq, dk, dv = np.split(gradients, [heads, heads + kv_heads], axis=2)
    ops.attention_backward(
        grad, query, key, value, out, lse, causal=True, dq_out=dq, dk_out=dk, dv_out=dv
    )
    fresh = ops.attention_backward(grad, query, key, value, expected, lse, causal=True)
    for written, other in zip((dq, dk, dv), fresh[:3], strict=True):
        np.testing.assert_array_equal(written, other)
    # Heads first, reversed, broadcast, and a last axis that is not contiguous.
    by_head = np.ascontiguousarray(query.transpose(0, 2, 1, 3)).transpose(0, 2, 1, 3)
    np.testing.assert_array_equal(ops.attention(by_head, key, value, causal=True), expected)
    backwards = np.ascontiguousarray(query[:, ::-1])[:, ::-1]
    np.testing.assert_array_equal(ops.attention(backwards, key, value, causal=True), expected)
    fortran = np.asfortranarray(query)
    np.testing.assert_array_equal(ops.attention(fortran, key, value, causal=True), expected)
    same = np.broadcast_to(key[:1], key.shape)
    np.testing.assert_array_equal(ops.attention(query, same, value)[0],
                                  ops.attention(query, key, value)[0])  # fmt: skip


def test_same_bits_at_any_thread_count(threads, rng):
    query, key, value, grad = inputs(rng, 2, 400, 300, 2, 1, 24)
    bias = rng.normal(size=(2, 400, 300)).astype(np.float32)
    options = {"causal": True, "dropout_p": 0.1, "bias": bias}
    results = []
    for n in (1, 2, 3):
        threads(n)
        out, lse = ops.attention(query, key, value, return_lse=True, **options)
        gradients = ops.attention_backward(
            grad, query, key, value, out, lse, need_dbias=True, **options
        )
        plain = ops.attention_backward(grad, query, key, value, out, lse)
        results.append(b"".join(x.tobytes() for x in (out, lse, *gradients, *plain[:3])))
    assert len(set(results)) == 1


def test_dropout_follows_the_documented_stream(backend, rng):
    batch, t, heads = 2, 6, 3
    query, key, _, _ = inputs(rng, batch, t, t, heads, heads, 4)
    value = np.broadcast_to(np.eye(t, dtype=np.float32)[None, :, None], (batch, t, heads, t))
    out = ops.attention(query, key, value, dropout_p=0.4, seed=11, stream=2**40)
    kept = philox.words(11, 2**40, batch * heads * t * t).reshape(batch, heads, t, t)
    np.testing.assert_array_equal(out.transpose(0, 2, 1, 3) != 0, kept >= int(0.4 * 2**32))


def test_memory_grows_with_the_length_not_its_square(threads, rng):
    threads(2)

    def peak(length):
        query, key, value, grad = inputs(rng, 1, length, length, 1, 1, 16)
        before = memory.stats()["in_use"]
        memory.reset_peak()
        options = {"window": (64, 64)}
        out, lse = ops.attention(query, key, value, return_lse=True, **options)
        ops.attention_backward(grad, query, key, value, out, lse, **options)
        return memory.stats()["peak_in_use"] - before

    assert peak(4096) < 2.1 * peak(2048)


def read_only(a):
    a.flags.writeable = False
    return a


Q = np.ones((2, 5, 4, 8), np.float32)
KV = np.ones((2, 7, 2, 8), np.float32)
OUT = np.ones((2, 5, 4, 8), np.float32)
LSE = np.ones((2, 4, 5), np.float32)
TOKENS = np.ones((6, 2, 8), np.float32)
CU = np.array([0, 2, 6], np.int32)


def forward(query=Q, key=KV, value=KV, **options):
    return lambda: ops.attention(query, key, value, **options)


def backward(grad=OUT, query=Q, key=KV, value=KV, out=OUT, lse=LSE, **options):
    return lambda: ops.attention_backward(grad, query, key, value, out, lse, **options)


def packed(cu=CU, **options):
    return forward(TOKENS, TOKENS, TOKENS, cu_seqlens_q=cu, **options)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (forward([1.0]), TypeError, "query: expected a NumPy array"),
        (forward(Q.astype(int)), TypeError, "query: expected float32"),
        (forward(Q[0]), ValueError, "query: expected 4 axes"),
        (forward(key=KV.astype(np.float64)), TypeError, "key: expected the dtype of query"),
        (forward(key=KV[:1]), ValueError, "key: expected the batch size"),
        (forward(key=KV[..., :4]), ValueError, "key: expected the head_dim"),
        (forward(key=np.ones((2, 7, 3, 8), np.float32)), ValueError, "key: .* divides"),
        (forward(key=KV[:, :, :0], value=KV[:, :, :0]), ValueError, "key: .* divides"),
        (forward(Q[..., :0], KV[..., :0]), ValueError, "query: expected a head_dim"),
        (forward(value=KV[:, :6]), ValueError, "value: expected the shape of key"),
        (forward(scale=float("nan")), ValueError, "scale: expected a finite"),
        (forward(scale="big"), TypeError, "scale: expected a number"),
        (forward(softcap=0), ValueError, "softcap: expected a positive"),
        (forward(dropout_p=1.0), ValueError, "dropout_p: expected"),
        (forward(dropout_p=float("nan")), ValueError, "dropout_p: expected"),
        (forward(window=3), TypeError, "window: expected"),
        (forward(window=(1, 2, 3)), ValueError, "window: expected two"),
        (forward(window=(-2, 0)), ValueError, "window: expected sides"),
        (forward(window=(2**70, 0)), ValueError, "window: a side is out of range"),
        (forward(window=(0.5, 0)), TypeError, "window: expected"),
        (forward(bias=np.ones((3, 7), np.float32)), ValueError, "bias: shape .* broadcast"),
        (forward(bias=np.ones((1,) * 5, np.float32)), ValueError, "bias: shape .* broadcast"),
        (forward(bias=np.ones((5, 7), bool)), TypeError, "bias: expected float32"),
        (forward(key_padding_mask=np.ones((2, 5), bool)), ValueError, "key_padding_mask: expec"),
        (forward(key_padding_mask=np.ones((2, 7))), TypeError, "key_padding_mask: expected dtype"),
        (forward(alibi_slopes=np.ones(3, np.float32)), ValueError, "alibi_slopes: shape"),
        (forward(alibi_slopes=np.ones(4)), TypeError, "alibi_slopes: expected dtype"),
        (forward(out=np.ones((2, 4, 5, 8), np.float32)), ValueError, "out: expected shape"),
        (forward(out=read_only(OUT.copy())), ValueError, "out: is read-only"),
        (forward(out=Q), ValueError, "out: overlaps the memory of query"),
        (forward(out=np.asfortranarray(Q)), ValueError, "out: expected a contiguous last"),
        (packed(np.array([1, 6], np.int32)), ValueError, "cu_seqlens_q: expected offsets"),
        (packed(np.array([0, 7], np.int32)), ValueError, "cu_seqlens_q: expected offsets"),
        (packed(np.array([0, 4, 2, 6], np.int32)), ValueError, "cu_seqlens_q: expected offsets"),
        (packed(np.array([], np.int32)), ValueError, "cu_seqlens_q: expected offsets"),
        (packed(np.array([[0, 6]], np.int32)), ValueError, "cu_seqlens_q: expected 1 axes"),
        (packed(np.array([0.0, 6.0])), TypeError, "cu_seqlens_q: expected dtype int32"),
        (packed(cu_seqlens_k=np.array([0, 6])), ValueError, "cu_seqlens_k: expected as many"),
        (packed(key_padding_mask=np.ones((1, 6), bool)), ValueError, "key_padding_mask: expected"),
        (forward(cu_seqlens_k=CU), ValueError, "cu_seqlens_k: expected None"),
        (backward(grad=OUT[:1]), ValueError, "grad: expected shape"),
        (backward(lse=LSE.astype(np.float64)), TypeError, "lse: expected dtype float32"),
        (backward(lse=LSE[:, :2]), ValueError, "lse: expected shape"),
        (backward(need_dbias=True), ValueError, "need_dbias: expected a bias"),
        (backward(dk_out=OUT), ValueError, "dk_out: expected shape"),
        (
            backward(dk_out=(same := np.ones((2, 7, 2, 8), np.float32)), dv_out=same),
            ValueError,
            "dv_out: overlaps the memory of dk_out",
        ),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_huge_shapes_are_refused_not_crashed():
    huge = np.lib.stride_tricks.as_strided(Q, (2**20, 2**20, 4, 8), (0, 0, 32, 4))
    with pytest.raises(MemoryError):
        ops.attention(huge, huge, huge)


def test_bfloat16_bias_and_its_gradient(rng):
    query, key, value, grad = inputs(rng, 2, 20, 30, 2, 2, 8)
    bias = rng.normal(size=(2, 20, 30)).astype(ml_dtypes.bfloat16)
    check(query, key, value, grad, bias=bias)
