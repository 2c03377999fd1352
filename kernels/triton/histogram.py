"""Gradient histograms for tree boosting, in integers: the same bits in any order of additions.

    sums[f, b] = sum of the (gradient, hessian) of the rows whose feature f falls in bin b

Gradients are fixed-point numbers (int32), sums int64, so nothing is rounded. A program takes a
feature and a stretch of rows: bins lie by feature, which makes its loads contiguous, or by way of
the row numbers of a tree's node. Each element is one 64-bit atomic addition for the gradient and
one for the hessian, at the L2 cache, where a feature's histogram (4 KB at 256 bins) stays. Triton
offers no atomics on shared memory; the CUDA kernels use those.
"""

import torch
import triton
import triton.language as tl

from pyllm.kernels.triton import arguments
from pyllm.kernels.triton.tuning import Tuned


@triton.jit
def histogram_kernel(
    bins, gradients, rows, sums, count, samples, max_bin, ROWS: tl.constexpr,
    ELEMENTS: tl.constexpr,
):  # fmt: skip
    shares = tl.cdiv(count, ELEMENTS)
    feature = (tl.program_id(0) // shares).to(tl.int64)
    at = (tl.program_id(0) % shares).to(tl.int64) * ELEMENTS + tl.arange(0, ELEMENTS)
    inside = at < count
    row = at
    if ROWS:
        row = tl.load(rows + at, mask=inside, other=0).to(tl.int64)
        inside = inside & (row >= 0) & (row < samples)  # where nobody looked for one out of range
    b = tl.load(bins + feature * samples + row, mask=inside, other=0).to(tl.int64)
    gradient = tl.load(gradients + 2 * row, mask=inside, other=0).to(tl.int64)
    hessian = tl.load(gradients + 2 * row + 1, mask=inside, other=0).to(tl.int64)
    target = sums + 2 * (feature * max_bin + b)
    inside = inside & (b >= 0) & (b < max_bin)
    tl.atomic_add(target, gradient, mask=inside, sem="relaxed")
    tl.atomic_add(target + 1, hessian, mask=inside, sem="relaxed")


# More rows a program hide the latency of the atomics; fewer spread a small node over the device.
KERNEL = Tuned(histogram_kernel, [triton.Config({"ELEMENTS": 1024}, num_warps=4)], key=["ROWS"])


def histogram(bins, gradients, max_bin, rows=None):
    """The sums of every bin of every feature.

    Args:
        bins: (features, samples), uint8 or int16, contiguous: each below max_bin.
        gradients: (samples, 2), int32: fixed-point gradient and hessian.
        max_bin: bins a feature.
        rows: (count,), int32 or int64: the rows that count; default all.

    Returns:
        (features, max_bin, 2), int64.

    Raises:
        TypeError, ValueError: a dtype or shape that does not fit, a row or bin out of range.
    """
    arguments.beside(bins, "bins", bins, (torch.uint8, torch.int16))
    if bins.ndim != 2:
        raise ValueError(f"bins: expected 2 axes, got shape {tuple(bins.shape)}")
    features, samples = bins.shape
    if max_bin < 1:
        raise ValueError(f"max_bin: expected at least 1, got {max_bin}")
    arguments.beside(gradients, "gradients", bins, (torch.int32,), (samples, 2))
    arguments.in_range(bins, "bins", "bin", max_bin)
    if rows is not None:
        arguments.integers(rows, "rows", bins)
        if rows.ndim != 1:
            raise ValueError(f"rows: expected 1 axes, got shape {tuple(rows.shape)}")
        arguments.in_range(rows, "rows", "row", samples)
        rows = rows.contiguous()
    count = samples if rows is None else rows.numel()
    sums = torch.zeros((features, max_bin, 2), dtype=torch.int64, device=bins.device)
    if count and features:
        with torch.cuda.device_of(bins):
            KERNEL[lambda meta: (features * triton.cdiv(count, meta["ELEMENTS"]),)](
                bins.contiguous(), gradients.contiguous(), rows, sums, count, samples, max_bin,
                ROWS=rows is not None,
            )  # fmt: skip
    return sums
