"""Causal attention against torch's scaled_dot_product_attention, and decoding against a cache."""

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F

from pyllm import ops
from pyllm.bench import Case, cases

SHAPES = [(1, 12, 2048, 64), (4, 12, 512, 64)]  # batch, heads, seq, head_dim


def arrays(count, batch, heads, seq, dim):
    return np.random.default_rng(0).normal(size=(count, batch, seq, heads, dim)).astype(np.float32)


def forward(shape):
    q, k, v = arrays(3, *shape)
    tq, tk, tv = (torch.from_numpy(x).transpose(1, 2) for x in (q, k, v))

    def theirs():
        with torch.no_grad():
            F.scaled_dot_product_attention(tq, tk, tv, is_causal=True)

    return {"pyllm": lambda: ops.attention(q, k, v, causal=True), "torch": theirs}


def forward_backward(shape):
    q, k, v, grad = arrays(4, *shape)
    leaves = [torch.from_numpy(x).requires_grad_() for x in (q, k, v)]
    g = torch.from_numpy(grad).transpose(1, 2)

    def ours():
        out, lse = ops.attention(q, k, v, causal=True, return_lse=True)
        ops.attention_backward(grad, q, k, v, out, lse, causal=True)

    def theirs():
        for leaf in leaves:
            leaf.grad = None
        out = F.scaled_dot_product_attention(*(x.transpose(1, 2) for x in leaves), is_causal=True)
        out.backward(g)

    return {"pyllm": ours, "torch": theirs}


def decode(batch, heads, length, dim):
    q = arrays(1, batch, heads, 1, dim)[0]
    k, v = arrays(2, batch, heads, length, dim)
    lengths = np.full(batch, length)
    tq, tk, tv = (torch.from_numpy(x).transpose(1, 2) for x in (q, k, v))

    def theirs():
        with torch.no_grad():
            F.scaled_dot_product_attention(tq, tk, tv)

    return {"pyllm": lambda: ops.attention_decode(q, k, v, lengths), "torch": theirs}


def tiny():
    q, k, v = arrays(3, 1, 2, 4, 8)
    tq, tk, tv = (torch.from_numpy(x).transpose(1, 2) for x in (q, k, v))
    return {
        "pyllm": lambda: ops.attention(q, k, v),
        "torch": lambda: F.scaled_dot_product_attention(tq, tk, tv),
    }


@cases("ops")
def attention() -> Iterator[Case]:
    for shape in SHAPES:
        batch, heads, seq, dim = shape
        name = f"B{batch} H{heads} T{seq} D{dim}"
        flops = 2 * batch * heads * seq * seq * dim  # the causal half of two products
        yield Case(
            f"attention causal forward {name}",
            lambda shape=shape: forward(shape),
            flops=flops,
            memory=True,
        )
        yield Case(
            f"attention causal forward+backward {name}",
            lambda shape=shape: forward_backward(shape),
            flops=3.5 * flops,
            memory=True,
        )
    for batch, length in ((1, 1024), (8, 1024)):
        yield Case(
            f"attention decode B{batch} H12 keys {length} D64",
            lambda batch=batch, length=length: decode(batch, 12, length, 64),
            bytes=2 * batch * 12 * length * 64 * 4,
            traffic="read",
            calls=20,
        )
    yield Case("attention 1x4x2x8, call overhead", tiny, calls=1000)
