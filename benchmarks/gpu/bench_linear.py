"""linear through cuBLASLt against torch's: the same library, so this measures what is around it."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F

from pyllm import ops
from pyllm.bench import Case, cases

ROWS, WIDTH = 8192, 4096


def linear():
    x, weight, bias = (
        torch.randn(*shape, device="cuda", dtype=torch.bfloat16)
        for shape in ((ROWS, WIDTH), (4 * WIDTH, WIDTH), (4 * WIDTH,))
    )
    return {
        "pyllm": lambda: ops.linear(x, weight, bias, activation="gelu_tanh"),
        "torch": lambda: F.gelu(F.linear(x, weight, bias), approximate="tanh"),
    }


@cases("gpu")
def products() -> Iterator[Case]:
    yield Case(f"linear + GELU {ROWS}x{WIDTH} -> {4 * WIDTH}, bfloat16", linear,
               flops=8.0 * ROWS * WIDTH * WIDTH)  # fmt: skip
