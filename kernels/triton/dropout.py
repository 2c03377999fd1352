"""dropout with a counter-based mask, and an optional residual addition.

    y_i = keep_i x_i / (1 - p) + residual_i,  keep_i = word_i >= p 2^32
    dx_i = keep_i dy_i / (1 - p)

word_i is element i's word of the Philox stream (philox.py), i in row-major order: nothing is saved
for backward. A program draws a block of four words for four neighbours; each array is read once.
Strided arrays are copied first.
"""

import torch
import triton
import triton.language as tl

from pyllm.kernels.triton import arguments
from pyllm.kernels.triton.philox import consecutive_words, drop_threshold
from pyllm.kernels.triton.storage import narrow, widen
from pyllm.kernels.triton.tuning import Tuned


@triton.jit(do_not_specialize=["seed", "stream", "threshold"])
def dropout_kernel(
    x, residual, y, n, scale, seed: tl.uint64, stream: tl.uint64, threshold: tl.uint32,
    RESIDUAL: tl.constexpr, ELEMENTS: tl.constexpr,
):  # fmt: skip
    first = tl.program_id(0).to(tl.int64) * ELEMENTS
    i = first + tl.arange(0, ELEMENTS)
    word = consecutive_words(seed, stream, first // 4 + tl.arange(0, ELEMENTS // 4))
    value = widen(tl.load(x + i, mask=i < n, other=0)) * scale
    # Not a product where the element is dropped: inf and NaN there become 0 too.
    value = tl.where(word < threshold.to(tl.uint32), 0.0, value)
    if RESIDUAL:
        value += widen(tl.load(residual + i, mask=i < n, other=0))
    tl.store(y + i, narrow(value, y.dtype.element_ty), mask=i < n)


# Ten rounds of two wide products a block: arithmetic hides behind memory with 8 to 16 elements a
# thread.
KERNEL = Tuned(
    dropout_kernel,
    [triton.Config({"ELEMENTS": e}, num_warps=w) for e, w in ((1024, 4), (2048, 4), (2048, 8))],
    key=["RESIDUAL"],
    writes=["y"],
)


def _apply(name, x, p, seed, stream, residual, out):
    arguments.floating(x, name)
    if not 0 <= p < 1:
        raise ValueError(f"p: expected 0 <= p < 1, got {p}")
    seed, stream = arguments.word(seed, "seed"), arguments.word(stream, "stream")
    if residual is not None:
        arguments.same(residual, "residual", x, name)
    y = arguments.Output(out, x, {name: x, "residual": residual})
    if x.numel():
        with torch.cuda.device_of(x):
            KERNEL[lambda meta: (triton.cdiv(x.numel(), meta["ELEMENTS"]),)](
                x.contiguous(), None if residual is None else residual.contiguous(), y.data,
                x.numel(), 1 / (1 - p), seed, stream, drop_threshold(p),
                RESIDUAL=residual is not None,
            )  # fmt: skip
    return y.result()


def dropout(x, p, seed, stream, residual, out):
    return _apply("x", x, p, seed, stream, residual, out)


def dropout_backward(grad, p, seed, stream, out):
    return _apply("grad", grad, p, seed, stream, None, out)
