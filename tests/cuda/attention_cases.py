"""Problems for the CUDA attention: arrays and options as `pyllm.ops.attention` takes them, and the
argument structs that stand for them."""

import ml_dtypes
import numpy as np
from hypothesis import strategies as st

from tests.cuda.emulator.client import DTYPE_CODES, Out
from tests.reference import attention as reference
from tests.tolerance import TINY, roundoff

DTYPES = [np.dtype(np.float32), np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16)]
FLOAT32, FLOAT16, BFLOAT16 = DTYPES
UNLIMITED = 2**61


def tensors(rng, shape, dtype, batch=1, value_dim=None):
    """query, key, value, grad; shape: Tq, Tk, heads, kv_heads, head_dim."""
    tq, tk, heads, kv_heads, dim = shape
    value_dim = value_dim or dim
    shapes = [
        (batch, tq, heads, dim),
        (batch, tk, kv_heads, dim),
        (batch, tk, kv_heads, value_dim),
        (batch, tq, heads, value_dim),
    ]
    return [rng.standard_normal(s).astype(dtype) for s in shapes]


def element_strides(array, count=3):
    return tuple(s // array.itemsize for s in array.strides[:count])


def broadcast_strides(shape, ndim):
    """Element strides of a contiguous array of `shape` seen with `ndim` axes."""
    shape = (1,) * (ndim - len(shape)) + tuple(shape)
    inner = np.cumprod([1, *shape[:0:-1]])[::-1]
    return tuple(0 if n == 1 else int(s) for n, s in zip(shape, inner, strict=True))


def problem(q, k, v, *, causal=False, window=None, scale=None, bias=None, key_padding_mask=None,
            alibi_slopes=None, softcap=None, dropout_p=0.0, seed=0, stream=0, cu_seqlens_q=None,
            cu_seqlens_k=None, out=None, lse=None):  # fmt: skip
    """The fields of struct Attention; out and lse are outputs unless given. Packed arrays are
    (1, tokens, heads, dim)."""
    batch, queries, heads, dim = q.shape
    out_shape = (*q.shape[:3], v.shape[3])
    left, right = window or (None, None)
    packed = cu_seqlens_q is not None
    if packed and cu_seqlens_k is None:
        cu_seqlens_k = cu_seqlens_q
    return {
        "q": q, "k": k, "v": v,
        "out": Out(out_shape, q.dtype) if out is None else out,
        "lse": Out((batch, heads, queries), np.float32) if lse is None else lse,
        "batch": batch, "queries": queries, "keys": k.shape[1],
        "heads": heads, "kv_heads": k.shape[2], "head_dim": dim, "value_dim": v.shape[3],
        "q_strides": element_strides(q), "k_strides": element_strides(k),
        "v_strides": element_strides(v),
        "out_strides": broadcast_strides(out_shape, 4)[:3] if q.size else (0, 0, 0),
        "left": UNLIMITED if left is None else left,
        "right": 0 if causal else UNLIMITED if right is None else right,
        "bias": bias,
        "bias_strides": (0,) * 4 if bias is None else broadcast_strides(bias.shape, 4),
        "bias_dtype": 0 if bias is None else DTYPE_CODES[bias.dtype],
        "key_mask": None if key_padding_mask is None else key_padding_mask.astype(np.uint8),
        "key_mask_strides": (k.shape[1], 1),
        "alibi": alibi_slopes,
        "alibi_strides": (0, 0) if alibi_slopes is None
        else broadcast_strides(alibi_slopes.shape, 2),
        "q_starts": cu_seqlens_q, "k_starts": cu_seqlens_k,
        "starts_int64": int(packed and cu_seqlens_q.dtype == np.int64),
        "sequences": len(cu_seqlens_q) - 1 if packed else 0,
        "longest_queries": int(np.diff(cu_seqlens_q).max(initial=0)) if packed else 0,
        "longest_keys": int(np.diff(cu_seqlens_k).max(initial=0)) if packed else 0,
        "seed": seed, "stream": stream, "threshold": int(dropout_p * 2.0**32),
        "keep_scale": 1 / (1 - dropout_p),
        "scale": dim**-0.5 if scale is None else scale,
        "softcap": softcap or 0.0,
        "dtype": q.dtype,
    }  # fmt: skip


def run_forward(emulator, q, k, v, *, order="forward", order_seed=0, counted=False, **options):
    return emulator.call(
        "pyllm_cuda_attention_forward",
        "Attention",
        order=order,
        order_seed=order_seed,
        counted=counted,
        **problem(q, k, v, **options),
    )


@st.composite
def problems(draw):
    """Shapes, dtype and any combination of options, the biases and masks given by their shapes."""
    batch, kv_heads = draw(st.integers(0, 2)), draw(st.integers(1, 2))
    heads = kv_heads * draw(st.integers(1, 2))
    tq, tk = draw(st.integers(0, 80)), draw(st.integers(0, 140))
    dim, value_dim = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    side = st.one_of(st.none(), st.integers(0, 60))
    repeated = draw(st.lists(st.booleans(), min_size=4, max_size=4))
    full = (batch, heads, tq, tk)
    bias = tuple(1 if once else n for once, n in zip(repeated, full, strict=True))
    options = {
        "causal": draw(st.booleans()),
        "window": draw(st.one_of(st.none(), st.tuples(side, side))),
        "scale": draw(st.one_of(st.none(), st.floats(0.05, 1))),
        "softcap": draw(st.one_of(st.none(), st.floats(0.5, 30))),
        "bias": draw(st.one_of(st.none(), st.just(bias[draw(st.integers(0, 3)) :]))),
        "alibi_slopes": draw(st.sampled_from([None, (heads,), (batch, heads)])),
        "key_padding_mask": draw(st.sampled_from([None, (batch, tk)])),
        "dropout_p": draw(st.sampled_from([0.0, 0.0, 0.3])),
        "seed": draw(st.integers(0, 2**64 - 1)),
        "stream": draw(st.integers(0, 2**64 - 1)),
    }
    dtype = draw(st.sampled_from(DTYPES))
    return (tq, tk, heads, kv_heads, dim), {"batch": batch, "value_dim": value_dim}, dtype, options


def filled(rng, options):
    """The options with arrays in place of their shapes."""
    options = dict(options)
    if options["bias"] is not None:
        options["bias"] = rng.normal(size=options["bias"]).astype(np.float32)
    if options["alibi_slopes"] is not None:
        options["alibi_slopes"] = rng.random(options["alibi_slopes"], np.float32)
    if options["key_padding_mask"] is not None:
        options["key_padding_mask"] = rng.random(options["key_padding_mask"]) < 0.8
    return options


def assert_within_roundoff(got, expected, scale, dtype, longest, stored):
    """|got - expected| <= what float32 sums and `stored` roundings to the storage type may add; the
    weights of a sum of `longest` terms may also fall below the type's smallest number."""
    coarsest = max(dtype, got.dtype, key=roundoff)
    relative = (12 + 2 * longest**0.5) * roundoff(np.float32)
    if coarsest != FLOAT32:
        relative += stored * roundoff(coarsest)
    bound = relative * scale + 4 * longest * TINY[coarsest] + 1e-7
    error = np.abs(got.astype(np.float64) - expected)
    assert (error <= bound).all(), f"{np.nanmax(error / bound):.3g} times the bound"


def check_forward(result, q, k, v, **options):
    """Against the reference: P is rounded to the storage type before it meets V, and so is out."""
    out, lse = reference.attention(q, k, v, **options)
    scale = reference.scales(q, k, v, np.zeros((*q.shape[:3], v.shape[3])), **options)
    longest = max(*q.shape[1:], *k.shape[1:], v.shape[3], 1)
    assert_within_roundoff(result["out"], out, scale["out"], q.dtype, longest, 2.02)
    seen = np.isfinite(lse)
    np.testing.assert_array_equal(np.isneginf(result["lse"]), ~seen)
    finite = np.where(seen, result["lse"], 0)
    assert_within_roundoff(finite, np.where(seen, lse, 0), scale["lse"], FLOAT32, longest, 0)
    np.testing.assert_array_equal(result["out"].transpose(0, 2, 1, 3)[~seen], 0)


def run_backward(emulator, grad, q, k, v, out, lse, *, order="forward", order_seed=0,
                 counted=False, need_dbias=False, **options):  # fmt: skip
    """{"dq", "dk", "dv", "delta"} and, if asked for, "dbias"; and the counters by kernel."""
    bias = options.get("bias")
    run = {"order": order, "order_seed": order_seed, "counted": counted}
    dbias = Out(bias.shape, bias.dtype) if need_dbias else None
    arguments = {
        "forward": problem(q, k, v, out=out, lse=lse, **options),
        "dout": grad, "dout_strides": element_strides(grad),
        "delta": Out((q.shape[0], q.shape[2], q.shape[1]), np.float32),
        "dq": Out(q.shape, q.dtype), "dk": Out(k.shape, k.dtype), "dv": Out(v.shape, v.dtype),
        "dq_strides": element_strides(q), "dk_strides": element_strides(k),
        "dv_strides": element_strides(v),
        "dbias": dbias,
        "dbias_strides": broadcast_strides(bias.shape, 4) if need_dbias else (0,) * 4,
    }  # fmt: skip
    name = "AttentionBackward"
    result = emulator.call("pyllm_cuda_attention_backward", name, **run, **arguments)
    if need_dbias:
        for written in ("dq", "dk", "dv", "delta"):
            arguments[written] = result[written]
        of_bias = emulator.call("pyllm_cuda_attention_bias_backward", name, **run, **arguments)
        result.outputs.update(of_bias.outputs)
        result.kernels.update(of_bias.kernels)
    return result


def run_both(emulator, q, k, v, grad, **options):
    """The backward of what the forward gave."""
    run = {key: options.pop(key) for key in ("order", "order_seed", "counted") if key in options}
    need_dbias = options.pop("need_dbias", options.get("bias") is not None)
    forward = run_forward(emulator, q, k, v, **options)
    return run_backward(
        emulator, grad, q, k, v, forward["out"], forward["lse"], need_dbias=need_dbias, **run,
        **options,
    )  # fmt: skip


def check_backward(result, q, k, v, grad, **options):
    """Against the reference. Rounded to the storage type on the way: out, which delta comes from,
    the weights or their gradients before the last product, and the result."""
    names = ("dq", "dk", "dv", "dbias")
    expected = reference.attention_backward(grad, q, k, v, **options)
    scale = reference.scales(q, k, v, grad, **options)
    longest = max(*q.shape[1:], *k.shape[1:], v.shape[3], 1)
    for name, value in zip(names, expected, strict=True):
        if value is None:
            assert name not in result.outputs
            continue
        assert_within_roundoff(result[name], value, scale[name], q.dtype, longest, 3.1)
