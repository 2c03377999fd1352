import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.backends import ops
from tests.reference import attention as reference
from tests.tolerance import assert_close, stored_weights


def expected(query, key_cache, value_cache, lengths, block_table=None, window=None, **options):
    """Sequence by sequence through the reference, and the scale of the rounding error."""
    outs, scales = [], []
    for b, length in enumerate(lengths):
        if block_table is None:
            key, value = key_cache[b], value_cache[b]
        else:
            used = block_table[b, : -(-length // key_cache.shape[1])]
            key, value = (c[used].reshape(-1, *c.shape[2:]) for c in (key_cache, value_cache))
        key, value = key[None, :length], value[None, :length]
        window_left = None if window is None else (window[0], None)
        args = (query[b : b + 1], key, value)
        out, _ = reference.attention(*args, causal=True, window=window_left, **options)
        p, _ = reference.softmax_lse(
            reference.scores(*args[:2], causal=True, window=window_left, **options)[0]
        )
        wide = np.repeat(abs(value.astype(np.float64)), query.shape[2] // value.shape[2], axis=2)
        s, _ = reference.scores(abs(args[0]), abs(key), scale=options.get("scale"))
        terms = 1 + s.max(axis=-1, keepdims=True, initial=0) + length
        outs.append(out[0])
        scales.append(np.einsum("bhij,bjhd->bihd", p * terms, wide)[0])
    return np.stack(outs), np.stack(scales)


def check(query, key_cache, value_cache, lengths, backend=None, **options):
    out = ops.attention_decode(query, key_cache, value_cache, lengths, **options)
    want, scale = expected(query, key_cache, value_cache, lengths, **options)
    count = 12 + 2 * max(*key_cache.shape, 1) ** 0.5 + stored_weights(backend, out.dtype)
    assert_close(out, want, ops=count, scale=scale)


@pytest.mark.parametrize("queries", [1, 3])
@pytest.mark.parametrize("kv_heads", [1, 2, 6])
@pytest.mark.parametrize("dim", [64, 19])
def test_contiguous(backend, dtype, queries, kv_heads, dim, rng):
    query = rng.normal(size=(3, queries, 6, dim)).astype(dtype)
    key = rng.normal(size=(3, 200, kv_heads, dim)).astype(dtype)
    value = rng.normal(size=(3, 200, kv_heads, dim)).astype(dtype)
    check(query, key, value, np.array([200, 67, 3]), backend)


@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
def test_any_combination_of_options(backend, data, seed):
    rng = np.random.default_rng(seed)
    draw = data.draw
    batch, queries = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    kv_heads, group = draw(st.integers(1, 2)), draw(st.integers(1, 3))
    dim, value_dim = draw(st.integers(1, 20)), draw(st.integers(1, 20))
    lengths = np.array(draw(st.lists(st.integers(0, 150), min_size=batch, max_size=batch)))
    options = {
        "window": draw(st.sampled_from([None, (0, 0), (70, None)])),
        "scale": draw(st.one_of(st.none(), st.floats(0.05, 1))),
        "softcap": draw(st.one_of(st.none(), st.floats(0.5, 30))),
        "alibi_slopes": draw(st.sampled_from([None, rng.random(kv_heads * group, np.float32)])),
    }
    block_size = draw(st.sampled_from([None, 1, 7, 16]))
    if block_size is None:
        rows, capacity = batch, draw(st.integers(lengths.max(), 160))
    else:
        per_sequence = -(-lengths.max() // block_size) + 1
        rows, capacity = batch * per_sequence, block_size
        order = rng.permutation(rows).reshape(batch, per_sequence)
        options["block_table"] = order.astype(draw(st.sampled_from([np.int32, np.int64])))
    key = rng.normal(size=(rows, capacity, kv_heads, dim)).astype(np.float32)
    value = rng.normal(size=(rows, capacity, kv_heads, value_dim)).astype(np.float32)
    query = rng.normal(size=(batch, queries, kv_heads * group, dim)).astype(np.float32)
    check(query, key, value, lengths, **options)


def test_equals_attention_on_the_same_tokens(rng):
    query, key, value = rng.normal(size=(3, 2, 90, 4, 16)).astype(np.float32)
    whole = ops.attention(query, key, value, causal=True)
    for length in (1, 64, 90):
        out = ops.attention_decode(
            query[:, length - 1 : length], key, value, np.full(2, length, np.int32)
        )
        np.testing.assert_allclose(out, whole[:, length - 1 : length], rtol=1e-5, atol=1e-6)


def test_does_not_read_beyond_the_length(rng):
    query = rng.normal(size=(1, 1, 2, 8)).astype(np.float32)
    cache = rng.normal(size=(1, 70, 2, 8)).astype(np.float32)
    clean = ops.attention_decode(query, cache, cache, np.array([66]))
    cache[0, 66:] = np.nan
    np.testing.assert_array_equal(ops.attention_decode(query, cache, cache, np.array([66])), clean)
    blocks = cache.reshape(7, 10, 2, 8)
    table = np.array([[0, 1, 2, 3, 4, 5, 6, -1, 2**31 - 1]], np.int32)
    paged = ops.attention_decode(query, blocks, blocks, np.array([66]), block_table=table)
    np.testing.assert_array_equal(paged, clean)
    assert (ops.attention_decode(query, cache, cache, np.array([0])) == 0).all()


def test_same_bits_at_any_thread_count(threads, rng):
    query = rng.normal(size=(1, 1, 4, 32)).astype(np.float32)
    cache = rng.normal(size=(1, 1000, 4, 32)).astype(np.float32)
    results = []
    for n in (1, 2, 3):
        threads(n)
        results.append(ops.attention_decode(query, cache, cache, np.array([999])).tobytes())
    assert len(set(results)) == 1


def test_strided_cache_and_out(backend, rng):
    query = rng.normal(size=(2, 1, 4, 8)).astype(np.float32)
    packed = rng.normal(size=(2, 30, 2, 16)).astype(np.float32)
    key, value = packed[..., :8], packed[..., 8:]
    lengths = np.array([30, 5])
    fresh = ops.attention_decode(
        query, np.ascontiguousarray(key), np.ascontiguousarray(value), lengths
    )
    out = np.empty_like(query)
    assert ops.attention_decode(query, key, value, lengths, out=out) is out
    np.testing.assert_array_equal(out, fresh)


Q = np.ones((2, 1, 4, 8), np.float32)
CACHE = np.ones((2, 7, 2, 8), np.float32)
LENGTHS = np.array([3, 7])


def decode(query=Q, key=CACHE, value=CACHE, lengths=LENGTHS, **options):
    return lambda: ops.attention_decode(query, key, value, lengths, **options)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (decode(Q[0]), ValueError, "query: expected 4 axes"),
        (decode(key=CACHE[:1]), ValueError, "key_cache: expected the batch size"),
        (decode(key=CACHE[..., :4]), ValueError, "key_cache: expected the head_dim"),
        (decode(key=CACHE.astype(np.float16)), TypeError, "key_cache: expected the dtype of query"),
        (decode(key=CACHE[:, :, :0]), ValueError, "key_cache: .* divides"),
        (decode(value=CACHE[:, :6]), ValueError, "value_cache: expected shape"),
        (decode(key=np.asfortranarray(CACHE)), ValueError, "key_cache: expected a contiguous"),
        (decode(lengths=LENGTHS[:1]), ValueError, "lengths: expected shape"),
        (decode(lengths=np.array([3, 8])), ValueError, "lengths: expected lengths from 0 to 7"),
        (decode(lengths=np.array([-1, 3])), ValueError, "lengths: expected lengths"),
        (decode(lengths=LENGTHS.astype(float)), TypeError, "lengths: expected dtype int32"),
        (decode(block_table=np.array([[0], [2]])), ValueError, "block_table: .* got 2"),
        (decode(block_table=np.array([[-1], [0]])), ValueError, "block_table: .* got -1"),
        (decode(block_table=np.array([[0]])), ValueError, "block_table: expected shape"),
        (decode(block_table=np.zeros((2, 0), int)), ValueError, "lengths: expected .* 0 to 0"),
        (decode(out=Q), ValueError, "out: overlaps the memory of query"),
        (decode(softcap=-1.0), ValueError, "softcap: expected"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
