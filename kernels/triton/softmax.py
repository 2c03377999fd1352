"""softmax and log_softmax along one axis, forward and backward.

    y_i = exp(z_i) / sum_j exp(z_j),  z = x / temperature;   log: y_i = z_i - log sum_j exp(z_j)
    dx = y (dy - sum(dy y)) / temperature;          log: dx = (dy - exp(y) sum(dy)) / temperature

Any tensor is (outer, n, inner) around its axis; a row r of the M = outer * inner rows starts at
(r // inner) * outer stride + (r % inner) * inner stride. A program takes R rows. Rows of up to 8192
elements stay in registers: each array is read once. Longer rows are walked in tiles of 4096, twice:
an online maximum and sum first (Milakov and Gimelshein, 2018), then the result. Short rows share a
program, about 4096 elements in all, and where the axis is not the last the R neighbours make the
accesses contiguous. Tuned over warps alone: the tile follows from n.
"""

import math

import torch
import triton
import triton.language as tl

from pyllm.kernels.triton import arguments
from pyllm.kernels.triton.storage import narrow, widen
from pyllm.kernels.triton.tuning import Tuned, warps

WHOLE_ROW = 8192
TILE = 4096


@triton.jit
def _scores(x, mask, base, mask_base, i, inside, x_step, mask_step, inverse, MASKED: tl.constexpr):
    z = widen(
        tl.load(
            x + base[:, None] + i[None, :].to(tl.int64) * x_step, mask=inside, other=-float("inf")
        )
    )
    z = z * inverse
    if MASKED:
        seen = tl.load(
            mask + mask_base[:, None] + i[None, :].to(tl.int64) * mask_step, mask=inside, other=0
        )
        z = tl.where(seen != 0, z, -float("inf"))
    return z


@triton.jit
def softmax_forward_kernel(
    x, y, mask, M, n, inner, inverse,
    x_outer, x_step, x_inner, y_outer, y_step, y_inner, mask_outer, mask_step, mask_inner,
    MASKED: tl.constexpr, LOG: tl.constexpr, WHOLE: tl.constexpr, R: tl.constexpr, N: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64) * R + tl.arange(0, R)
    outer, rest = row // inner, row % inner
    x_base, y_base = outer * x_outer + rest * x_inner, outer * y_outer + rest * y_inner
    mask_base = row
    if MASKED:
        mask_base = outer * mask_outer + rest * mask_inner
    present = row[:, None] < M
    if WHOLE:
        i = tl.arange(0, N)
        inside = present & (i[None, :] < n)
        z = _scores(x, mask, x_base, mask_base, i, inside, x_step, mask_step, inverse, MASKED)
        top = tl.max(z, 1)
        z -= tl.where(top == -float("inf"), 0.0, top)[:, None]  # a row left out: zeros, not NaN
        e = tl.exp(z)
        total = tl.sum(e, 1)
        if LOG:
            result = z - tl.log(total)[:, None]
            result = tl.where(z == -float("inf"), z, result)
        else:
            result = e / tl.where(total == 0, 1.0, total)[:, None]
        at = y + y_base[:, None] + i[None, :].to(tl.int64) * y_step
        tl.store(at, narrow(result, y.dtype.element_ty), mask=inside)
    else:
        top = tl.full((R,), -float("inf"), tl.float32)
        total = tl.zeros((R,), tl.float32)
        for start in range(0, n, N):
            i = start + tl.arange(0, N)
            inside = present & (i[None, :] < n)
            z = _scores(x, mask, x_base, mask_base, i, inside, x_step, mask_step, inverse, MASKED)
            higher = tl.maximum(top, tl.max(z, 1))
            safe = tl.where(higher == -float("inf"), 0.0, higher)
            total = total * tl.exp(top - safe) + tl.sum(tl.exp(z - safe[:, None]), 1)
            top = higher
        safe = tl.where(top == -float("inf"), 0.0, top)
        for start in range(0, n, N):
            i = start + tl.arange(0, N)
            inside = present & (i[None, :] < n)
            z = _scores(x, mask, x_base, mask_base, i, inside, x_step, mask_step, inverse, MASKED)
            z -= safe[:, None]
            if LOG:
                result = tl.where(z == -float("inf"), z, z - tl.log(total)[:, None])
            else:
                result = tl.exp(z) / tl.where(total == 0, 1.0, total)[:, None]
            at = y + y_base[:, None] + i[None, :].to(tl.int64) * y_step
            tl.store(at, narrow(result, y.dtype.element_ty), mask=inside)


@triton.jit
def _terms(dy, y, dy_base, y_base, i, inside, dy_step, y_step, LOG: tl.constexpr):
    """dy, what it is summed by, and the probability."""
    g = widen(
        tl.load(dy + dy_base[:, None] + i[None, :].to(tl.int64) * dy_step, mask=inside, other=0)
    )
    p = widen(tl.load(y + y_base[:, None] + i[None, :].to(tl.int64) * y_step, mask=inside, other=0))
    if LOG:
        p = tl.exp(p)
        return g, g, p
    else:
        return g, g * p, p


@triton.jit
def softmax_backward_kernel(
    dy, y, dx, M, n, inner, inverse,
    dy_outer, dy_step, dy_inner, y_outer, y_step, y_inner, dx_outer, dx_step, dx_inner,
    LOG: tl.constexpr, WHOLE: tl.constexpr, R: tl.constexpr, N: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64) * R + tl.arange(0, R)
    outer, rest = row // inner, row % inner
    dy_base, y_base = outer * dy_outer + rest * dy_inner, outer * y_outer + rest * y_inner
    dx_base = outer * dx_outer + rest * dx_inner
    present = row[:, None] < M
    total = tl.zeros((R,), tl.float32)
    for start in range(0, n, N):
        i = start + tl.arange(0, N)
        inside = present & (i[None, :] < n)
        g, term, p = _terms(dy, y, dy_base, y_base, i, inside, dy_step, y_step, LOG)
        total += tl.sum(term, 1)
        if WHOLE:
            result = g - p * total[:, None] if LOG else p * (g - total[:, None])
            at = dx + dx_base[:, None] + i[None, :].to(tl.int64) * dx_step
            tl.store(at, narrow(result * inverse, dx.dtype.element_ty), mask=inside)
    if not WHOLE:
        for start in range(0, n, N):
            i = start + tl.arange(0, N)
            inside = present & (i[None, :] < n)
            g, _, p = _terms(dy, y, dy_base, y_base, i, inside, dy_step, y_step, LOG)
            result = g - p * total[:, None] if LOG else p * (g - total[:, None])
            at = dx + dx_base[:, None] + i[None, :].to(tl.int64) * dx_step
            tl.store(at, narrow(result * inverse, dx.dtype.element_ty), mask=inside)


FORWARD = Tuned(
    softmax_forward_kernel, warps(8, 4, 16), key=["N", "R", "LOG", "MASKED"], writes=["y"]
)
BACKWARD = Tuned(softmax_backward_kernel, warps(8, 4, 16), key=["N", "R", "LOG"], writes=["dx"])


def tile(M, n):
    """WHOLE, R and N for M rows of n elements."""
    if n > WHOLE_ROW:
        return {"WHOLE": False, "R": 1, "N": TILE}
    N = triton.next_power_of_2(max(n, 1))
    return {"WHOLE": True, "R": min(max(TILE // N, 1), triton.next_power_of_2(M), 64), "N": N}


def _around(x, axis):
    """(outer, n, inner)."""
    shape = x.shape
    return x.reshape(math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :]))


def _checked(x, axis, temperature):
    if not (temperature > 0 and math.isfinite(temperature)):
        raise ValueError(f"temperature: expected a positive finite number, got {temperature}")
    if not -x.ndim <= axis < x.ndim:
        raise ValueError(f"axis: {axis} is out of range for an array of {x.ndim} axes")
    return axis % x.ndim


def _forward(x, axis, temperature, mask, out, log):
    arguments.floating(x, "x")
    axis = _checked(x, axis, temperature)
    if mask is not None:
        arguments.beside(mask, "mask", x, (torch.bool,))
        mask = _around(arguments.broadcast(mask, "mask", x.shape), axis)
    output = arguments.Output(out, x, {"x": x})
    if x.numel():
        flat, y = _around(x, axis), _around(output.data, axis)
        M, n, inner = flat.shape[0] * flat.shape[2], flat.shape[1], flat.shape[2]
        sizes = tile(M, n)
        with torch.cuda.device_of(x):
            FORWARD[(triton.cdiv(M, sizes["R"]),)](
                flat, y, mask, M, n, inner, 1 / temperature, *flat.stride(), *y.stride(),
                *((0, 0, 0) if mask is None else mask.stride()),
                MASKED=mask is not None, LOG=log, **sizes,
            )  # fmt: skip
    return output.result()


def _backward(grad, y, axis, temperature, out, log):
    arguments.floating(y, "y")
    arguments.same(grad, "grad", y, "y")
    axis = _checked(y, axis, temperature)
    output = arguments.Output(out, y, {"y": y, "grad": grad})
    if y.numel():
        dy, flat, dx = _around(grad, axis), _around(y, axis), _around(output.data, axis)
        M, n, inner = flat.shape[0] * flat.shape[2], flat.shape[1], flat.shape[2]
        sizes = tile(M, n)
        with torch.cuda.device_of(y):
            BACKWARD[(triton.cdiv(M, sizes["R"]),)](
                dy, flat, dx, M, n, inner, 1 / temperature, *dy.stride(), *flat.stride(),
                *dx.stride(), LOG=log, **sizes,
            )  # fmt: skip
    return output.result()


def softmax(x, axis, temperature, mask, out):
    return _forward(x, axis, temperature, mask, out, log=False)


def log_softmax(x, axis, temperature, mask, out):
    return _forward(x, axis, temperature, mask, out, log=True)


def softmax_backward(grad, y, axis, temperature, out):
    return _backward(grad, y, axis, temperature, out, log=False)


def log_softmax_backward(grad, y, axis, temperature, out):
    return _backward(grad, y, axis, temperature, out, log=True)
