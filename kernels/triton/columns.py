"""Sums down the columns of a matrix of float32, rounded once: the last step of a bias's gradient.

    out_i = sum_r partial_ri

A program takes N columns and walks down the rows, R at a time: each element is read once, 512 bytes
of a row side by side, and added up in an order that does not depend on the device.
"""

import torch
import triton
import triton.language as tl

from pyllm.kernels.triton.storage import narrow
from pyllm.kernels.triton.tuning import Tuned


@triton.jit
def column_sums_kernel(partial, out, rows, n, R: tl.constexpr, N: tl.constexpr):
    i = tl.program_id(0).to(tl.int64) * N + tl.arange(0, N)
    total = tl.zeros((N,), tl.float32)
    for start in range(0, rows, R):
        row = start + tl.arange(0, R).to(tl.int64)
        inside = (row[:, None] < rows) & (i[None, :] < n)
        total += tl.sum(tl.load(partial + row[:, None] * n + i[None, :], mask=inside, other=0), 0)
    tl.store(out + i, narrow(total, out.dtype.element_ty), mask=i < n)


# The sums are over a few hundred rows: one tile size, so that they are the same everywhere.
KERNEL = Tuned(column_sums_kernel, [triton.Config({"R": 32, "N": 128}, num_warps=4)], key=[])


def column_sums(partial, dtype):
    """The sums of a contiguous (rows, n), float32, as (n,) of `dtype`."""
    rows, n = partial.shape
    out = torch.empty((n,), dtype=dtype, device=partial.device)
    if n:
        with torch.cuda.device_of(partial):
            KERNEL[lambda meta: (triton.cdiv(n, meta["N"]),)](partial, out, rows, n)
    return out
