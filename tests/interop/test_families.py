"""Every op family on arrays of torch and JAX: the bits that NumPy arrays give, in the caller's
framework and dtype, from strided memory, without a copy on the way in or out."""

import ml_dtypes
import numpy as np
import pytest

from pyllm import memory, ops

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")

DTYPES = {"float32": np.float32, "bfloat16": ml_dtypes.bfloat16, "float16": np.float16}
ROWS, WIDTH = 6, 16
IDS = np.array([3, 0, 5, 3, 1, 2])


def norm(x, g, w):
    y, mean, rstd = ops.layer_norm(x, w, return_stats=True)
    return y, *ops.layer_norm_backward(g, x, w, mean, rstd)


def rms(x, g, w):
    y, rstd = ops.rms_norm(x, w, return_stats=True)
    return y, *ops.rms_norm_backward(g, x, w, rstd)


def linear(x, g, w, ids):
    y = ops.linear(x, g, w[: g.shape[0]], activation="gelu")
    return y, *ops.linear_backward(y, x, g)[:2]


def cross_entropy(x, g, w, ids):
    loss, lse = ops.cross_entropy(x, ids, return_lse=True)
    return loss, lse, ops.cross_entropy_backward(1.0, x, ids, lse)


def heads(x):
    return x.reshape(1, ROWS, 2, WIDTH // 2)


def attention(x, g, w, ids):
    q, k, v = heads(x), heads(g), heads(x)
    out, lse = ops.attention(q, k, v, causal=True, return_lse=True)
    return out, lse, *ops.attention_backward(v, q, k, v, out, lse, causal=True)[:3]


def embedding(x, g, w, ids):
    return ops.embedding(ids, x), ops.embedding_backward(g, ids, ROWS)


# Arrays of (ROWS, WIDTH): x and a gradient; a vector (WIDTH,); row numbers.
FAMILIES = {
    "softmax": lambda x, g, w, ids: (y := ops.softmax(x), ops.softmax_backward(g, y)),
    "log_softmax": lambda x, g, w, ids: (
        y := ops.log_softmax(x, 0),
        ops.log_softmax_backward(g, y),
    ),
    "softmax, masked": lambda x, g, w, ids: (ops.softmax(x, mask=w),),
    "layer_norm": lambda x, g, w, ids: norm(x, g, w),
    "rms_norm": lambda x, g, w, ids: rms(x, g, w),
    "gelu": lambda x, g, w, ids: (ops.gelu(x), *ops.gelu_backward(g, x, bias=w)),
    "silu": lambda x, g, w, ids: (ops.silu(x), ops.silu_backward(g, x)),
    "relu": lambda x, g, w, ids: (ops.relu(x, bias=w), ops.relu_backward(g, x)),
    "swiglu": lambda x, g, w, ids: (ops.swiglu(x, g), *ops.swiglu_backward(g, x, g)),
    "geglu": lambda x, g, w, ids: (ops.geglu(x, g, up_bias=w), *ops.geglu_backward(g, x, g)),
    "linear": linear,
    "matmul": lambda x, g, w, ids: (ops.matmul(x, g.T),),
    "embedding": embedding,
    "rotary": lambda x, g, w, ids: (
        ops.rotary(heads(x), *ops.rotary_cache(ROWS, 8)),
        ops.rotary_backward(heads(x), *ops.rotary_cache(ROWS, 8)),
    ),
    "dropout": lambda x, g, w, ids: (ops.dropout(x, 0.4, seed=1, residual=g),),
    "cross_entropy": cross_entropy,
    "linear_cross_entropy": lambda x, g, w, ids: (ops.linear_cross_entropy(x, g, ids),),
    "attention": attention,
    "attention_decode": lambda x, g, w, ids: (
        ops.attention_decode(heads(x)[:, -1:], heads(g), heads(x), ids[:1] + 1),
    ),
}


def inputs(name):
    rng = np.random.default_rng(0)
    # Every other column of a wider array: strided rows, as a packed projection's.
    x, g = rng.normal(size=(2, ROWS, 2 * WIDTH)).astype(DTYPES[name])
    w = rng.normal(size=WIDTH).astype(DTYPES[name])
    return x, g, w, IDS


def to_torch(array):
    if array.dtype == ml_dtypes.bfloat16:
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def bits(array):
    """Of an array of any of the three frameworks."""
    if isinstance(array, torch.Tensor):
        array = array.contiguous()
        if array.dtype == torch.bfloat16:
            array = array.view(torch.int16)
        return array.numpy().tobytes()
    return np.asarray(array).tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("strided", [False, True])
def test_torch(family, dtype, strided):
    x, g, w, ids = inputs(dtype)
    left = np.s_[:, :WIDTH]  # rows apart, elements side by side: what every op takes uncopied
    cut = (lambda a: a[left]) if strided else (lambda a: np.ascontiguousarray(a[left]))
    expected = FAMILIES[family](cut(x), cut(g), w, ids)
    arrays = [to_torch(a) for a in (x, g)]
    arrays = [a[left] if strided else a[left].contiguous() for a in arrays]
    results = FAMILIES[family](*arrays, to_torch(w), to_torch(ids))
    assert len(results) == len(expected)
    for got, wanted in zip(results, expected, strict=True):
        assert isinstance(got, torch.Tensor)
        assert str(got.dtype) == f"torch.{wanted.dtype.name}"
        assert tuple(got.shape) == wanted.shape
        assert bits(got) == bits(wanted)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("family", FAMILIES)
def test_jax(family, dtype):
    x, g, w, ids = inputs(dtype)
    x, g = np.ascontiguousarray(x[:, :WIDTH]), np.ascontiguousarray(g[:, :WIDTH])
    expected = FAMILIES[family](x, g, w, ids)
    results = FAMILIES[family](*(jax.numpy.asarray(a) for a in (x, g, w, ids.astype(np.int32))))
    assert len(results) == len(expected)
    for got, wanted in zip(results, expected, strict=True):
        assert isinstance(got, jax.Array)
        assert got.dtype == wanted.dtype
        assert bits(got) == bits(wanted)


STEPS = {
    "adamw": lambda p, g, m, v: ops.adamw_step(p, g, m, v, lr=0.1, step=1, weight_decay=0.1),
    "adam": lambda p, g, m, v: ops.adam_step(p, g, m, v, lr=0.1, step=3),
    "sgd": lambda p, g, m, v: ops.sgd_step(p, g, m, lr=0.1, momentum=0.9),
    "lion": lambda p, g, m, v: ops.lion_step(p, g, m, lr=0.1),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", STEPS)
def test_optimizers_update_torch_tensors_in_place(name, dtype):
    rng = np.random.default_rng(1)
    param, grad = rng.normal(size=(2, 300)).astype(DTYPES[dtype])
    moments = rng.random((2, 300), np.float32)
    theirs = [to_torch(a.copy()) for a in (param, grad, *moments)]
    addresses = [a.data_ptr() for a in theirs]
    STEPS[name](*theirs)
    STEPS[name](param, grad, *moments)
    assert [a.data_ptr() for a in theirs] == addresses
    for got, wanted in zip(theirs, (param, grad, *moments), strict=True):
        assert bits(got) == bits(wanted)


@pytest.mark.parametrize("make", ["torch", "jax"])
def test_nothing_is_copied(make):
    """Our allocator gives out the result alone, and that block is what the framework holds."""
    n = 1 << 20
    x = torch.randn(256, n // 256) if make == "torch" else jax.numpy.ones((256, n // 256))
    ops.gelu(x)
    before = memory.stats()["in_use"]
    memory.reset_peak()
    y = ops.gelu(x)
    stats = memory.stats()
    assert stats["peak_in_use"] - before == stats["in_use"] - before == 4 * n
    pointer = y.data_ptr() if make == "torch" else y.unsafe_buffer_pointer()
    again = ops.relu(y, out=y) if make == "torch" else y
    assert (again.data_ptr() if make == "torch" else again.unsafe_buffer_pointer()) == pointer
    del y, again
    assert memory.stats()["in_use"] == before
