"""Linear layers of GPT training and decoding against torch: the MLP's first layer with its GELU,
forward and backward, and plain products in the shapes of both models.

NumPy is not among the sides: its BLAS threads poll for long after a product and take a core from
whoever is timed next.
"""

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
from torch.nn import functional

from pyllm import ops
from pyllm.bench import Case, cases

# rows, out, in
LAYERS = {
    "qkv 12/12/768 B4 T256": (1024, 2304, 768),
    "projection 12/12/768 B4 T256": (1024, 768, 768),
    "mlp down 12/12/768 B4 T256": (1024, 768, 3072),
    "mlp up 6/6/384 B12 T256": (3072, 1536, 384),
    "head 6/6/384 B12 T256 V65": (3072, 65, 384),
}
DECODE_ROWS = (1, 2, 4, 8, 16)


def problem(rows, out, width):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, width)).astype(np.float32)
    weight = (rng.normal(size=(out, width)) / np.sqrt(width)).astype(np.float32)
    bias = rng.normal(size=out).astype(np.float32)
    return x, weight, bias


def plain(rows, out, width):
    x, weight, _ = problem(rows, out, width)
    theirs = torch.from_numpy(x), torch.from_numpy(weight)
    return {
        "pyllm": lambda: ops.linear(x, weight),
        "torch": lambda: functional.linear(*theirs),
    }


def decode_bfloat16(rows, out, width):
    theirs = [torch.from_numpy(a).bfloat16() for a in problem(rows, out, width)[:2]]
    return {
        "pyllm": lambda: ops.linear(*theirs),
        "torch": lambda: functional.linear(*theirs),
    }


def gelu_layer(rows, out, width):
    x, weight, bias = problem(rows, out, width)
    tx, tw, tb = (torch.from_numpy(a) for a in (x, weight, bias))
    return {
        "pyllm": lambda: ops.linear(x, weight, bias, activation="gelu"),
        "torch": lambda: functional.gelu(functional.linear(tx, tw, tb)),
    }


def gelu_layer_training(rows, out, width):
    x, weight, bias = problem(rows, out, width)
    grad = np.random.default_rng(1).normal(size=(rows, out)).astype(np.float32)
    tx, tw, tb = (torch.from_numpy(a).requires_grad_() for a in (x, weight, bias))
    tg = torch.from_numpy(grad)

    def ours():
        _, z = ops.linear(x, weight, bias, activation="gelu", return_preactivation=True)
        ops.linear_backward(grad, x, weight, bias=True, activation="gelu", preactivation=z)

    def theirs():
        tx.grad = tw.grad = tb.grad = None
        functional.gelu(functional.linear(tx, tw, tb)).backward(tg)

    return {"pyllm": ours, "torch": theirs}


@cases("ops")
def linear() -> Iterator[Case]:
    for name, shape in LAYERS.items():
        flops = 2 * np.prod(shape, dtype=float)
        yield Case(f"linear forward {name}", partial(plain, *shape), flops=flops)
    shape = (1024, 3072, 768)
    flops = 2 * np.prod(shape, dtype=float)
    name = "12/12/768 B4 T256"
    yield Case(f"linear+gelu forward {name}", partial(gelu_layer, *shape), flops=flops)
    yield Case(
        f"linear+gelu forward+backward {name}",
        partial(gelu_layer_training, *shape),
        flops=3 * flops,
        repeats=9,
    )
    for rows in DECODE_ROWS:
        shape = (rows, 3072, 768)
        yield Case(
            f"linear, {rows} rows x 768 -> 3072",
            partial(plain, *shape),
            bytes=4 * 768 * 3072,
            traffic="read",
            flops=2 * np.prod(shape, dtype=float),
        )
    shape = (1, 50257, 768)
    yield Case(
        "linear, 1 row x 768 -> 50257",
        partial(plain, *shape),
        bytes=4 * 768 * 50257,
        traffic="read",
    )
    yield Case(
        "linear bfloat16, 1 row x 768 -> 50257",
        partial(decode_bfloat16, *shape),
        bytes=2 * 768 * 50257,
        traffic="read",
    )
    yield Case("linear 2x4x4, call overhead", partial(plain, 2, 4, 4), calls=1000)
