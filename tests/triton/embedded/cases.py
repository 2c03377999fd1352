"""Calls that embedded kernels serve, each with the kernels it launches."""

from dataclasses import dataclass, field
from itertools import product

import numpy as np

from pyllm import ops

ATTENTION = ("attention_delta", "attention_dq", "attention_dkdv")


@dataclass
class Case:
    op: object
    arrays: tuple
    launches: tuple  # names without _kernel
    options: dict = field(default_factory=dict)  # NumPy arrays among them go to the device too


def softmax(draw, dtype):
    for n in (256, 1024, 4096, 4112):
        x, y, dy = draw(3, n), np.exp(draw(3, n) - 4), draw(3, n)
        for forward, backward in (
            (ops.softmax, ops.softmax_backward), (ops.log_softmax, ops.log_softmax_backward)
        ):  # fmt: skip
            options = {"temperature": 0.7}
            yield Case(forward, (x,), ("softmax_forward",), options)
            yield Case(backward, (dy, y.astype(dtype)), ("softmax_backward",), options)


def norms(draw, dtype):
    for n, residual, stats in product((1024, 4096, 4112), (True, False), (True, False)):
        x, weight, bias = draw(3, n), draw(n), draw(n)
        options = {"return_stats": stats} | ({"residual": draw(3, n)} if residual else {})
        yield Case(ops.layer_norm, (x, weight, bias), ("norm_forward",), options)
        yield Case(ops.rms_norm, (x, weight), ("norm_forward",), options)


def norm_gradients(draw, dtype):
    whole, long = ("norm_backward",), ("norm_backward_columns", "norm_backward_long")
    sums = "column_sums"
    for n, more in product((1024, 4096, 4112), (True, False)):
        dy, x, weight = draw(20, n), draw(20, n), draw(n)
        mean, rstd = (a.astype(np.float32) for a in (draw(20), abs(draw(20))))
        options = {"grad_sum": draw(20, n)} if more else {}
        launches = whole if n <= 4096 else long
        yield Case(ops.layer_norm_backward, (dy, x, weight, mean, rstd), (*launches, sums, sums),
                   options)  # fmt: skip
        yield Case(ops.rms_norm_backward, (dy, x, weight, rstd), (*launches, sums), options)


ACTIVATIONS = [
    (ops.relu, ops.relu_backward, {}),
    (ops.gelu, ops.gelu_backward, {}),
    (ops.gelu, ops.gelu_backward, {"approximate": "tanh"}),
    (ops.silu, ops.silu_backward, {}),
]
UNITS = [
    (ops.swiglu, ops.swiglu_backward, {}),
    (ops.geglu, ops.geglu_backward, {}),
    (ops.geglu, ops.geglu_backward, {"approximate": "tanh"}),
]


def activations(draw, dtype):
    for shape in ((3, 48), (37, 1040)):
        x, u, dy, bias = draw(*shape), draw(*shape), draw(*shape), draw(shape[-1])
        for forward, backward, options in ACTIVATIONS:
            biased = options | {"bias": bias}
            yield Case(forward, (x,), ("activation_forward",), options)
            yield Case(forward, (x,), ("activation_forward",), biased)
            yield Case(backward, (dy, x), ("activation_backward",), options)
            yield Case(backward, (dy, x), ("activation_backward", "column_sums"), biased)
        for forward, backward, options in UNITS:
            yield Case(forward, (x, u), ("glu_forward",), options)
            yield Case(backward, (dy, x, u), ("glu_backward",), options)


def dropout(draw, dtype):
    x, residual = draw(5, 1040), draw(5, 1040)
    words = {"p": 0.3, "seed": 2**63 + 5, "stream": 2**64 - 1}
    yield Case(ops.dropout, (x,), ("dropout",), words)
    yield Case(ops.dropout, (x,), ("dropout",), words | {"residual": residual, "p": 0.75})
    yield Case(ops.dropout_backward, (x,), ("dropout",), words)


def rotary(draw, dtype):
    rng = np.random.default_rng(3)
    for half, table, interleaved in product((32, 64), (dtype, np.float32), (False, True)):
        cos, sin = (draw(9, half).astype(table) for _ in range(2))
        positions = rng.integers(-1, 10, (2, 3))  # two of them out of range
        for heads, options in ((3, {}), (20, {"positions": positions})):
            x = draw(2, 3, heads, 2 * half + 16)
            options = options | {"interleaved": interleaved}
            yield Case(ops.rotary, (x, cos, sin), ("rotary",), options)
            yield Case(ops.rotary_backward, (x, cos, sin), ("rotary",), options)


def cross_entropy(draw, dtype):
    for n, width, smoothing in product((48, 5008), (np.int32, np.int64), (0.0, 0.1)):
        targets = np.array([3, -100, n - 1, 0, n], width)  # the last one is no class
        options = {"label_smoothing": smoothing, "z_loss": 1e-3}
        logits, lse = draw(5, n), np.full(5, 9, np.float32)
        each = options | {"reduction": "none"}
        per_row = (np.float32([1, 2, 3, 4, 5]), logits, targets, lse)
        forward, backward = ("cross_entropy_forward",), ("cross_entropy_backward",)
        yield Case(ops.cross_entropy, (logits, targets), forward, each | {"return_lse": True})
        yield Case(ops.cross_entropy, (logits[:4], targets[:4]), forward, options)
        yield Case(ops.cross_entropy_backward, per_row, backward, each)
        yield Case(ops.cross_entropy_backward, (2.0, *per_row[1:]), backward, options)
        one = (np.float32([3.0]), *per_row[1:])
        yield Case(ops.cross_entropy_backward, one, backward, options)


def linear_cross_entropy(draw, dtype):
    forward, backward = "cross_entropy_forward", "cross_entropy_backward"
    for width, smoothing in product((np.int32, np.int64), (0.0, 0.1)):
        targets = np.array([3, -100, 47, 0, 12], width)
        options = {"label_smoothing": smoothing, "z_loss": 1e-3}
        arrays = (draw(5, 32), draw(48, 32), targets)
        yield Case(ops.linear_cross_entropy, arrays, (forward,), options)
        yield Case(ops.linear_cross_entropy_forward_backward, arrays, (forward, backward),
                   options | {"grad_scale": 0.5})  # fmt: skip


def attention(draw, dtype):
    """What each kernel is compiled for; lse is that of the scores, of which backward makes use."""
    if dtype == np.float32:
        return
    rng = np.random.default_rng(5)
    mask = np.ones((2, 20), bool)
    mask[0, 13:] = mask[1, :2] = False
    starts = np.array([0, 9, 9, 99], np.int32)  # the last one beyond the rows there are
    dense, packed = ((2, 20), (2, 20)), ((24,), (24,))
    kinds = [
        (dense, {"causal": True}), (((2, 7), (2, 20)), {"causal": True}),
        (dense, {}), (dense, {"window": (3, 2)}), (dense, {"window": (4, 0)}),
        (packed, {"causal": True, "cu_seqlens_q": starts}),
        (packed, {"window": (5, 5), "cu_seqlens_q": starts}),
        (dense, {"key_padding_mask": mask}), (dense, {"softcap": 2.0, "causal": True}),
        (dense, {"dropout_p": 0.25, "seed": 5, "stream": 2**40}),
    ]  # fmt: skip
    for head_dim, (number, (shape, options)) in product((64, 128, 256), enumerate(kinds)):
        if head_dim == 256 and number > 2:
            continue
        (rows, keys), (heads, groups) = shape, ((4, 2), (3, 1), (2, 2))[number % 3]
        q, grad = draw(*rows, heads, head_dim), draw(*rows, heads, head_dim)
        k, v = draw(*keys, groups, head_dim), draw(*keys, groups, head_dim)
        yield Case(ops.attention, (q, k, v), ("attention_forward",),
                   options | {"return_lse": True})  # fmt: skip
        lse_shape = (heads, *rows) if len(rows) == 1 else (rows[0], heads, rows[1])
        lse = rng.uniform(4, 6, lse_shape).astype(np.float32)
        yield Case(ops.attention_backward, (grad, q, k, v, draw(*q.shape), lse), ATTENTION,
                   options)  # fmt: skip


FAMILIES = {
    "softmax": softmax, "norms": norms, "norm gradients": norm_gradients,
    "activations": activations, "dropout": dropout, "rotary": rotary,
    "cross entropy": cross_entropy, "linear cross entropy": linear_cross_entropy,
    "attention": attention,
}  # fmt: skip
