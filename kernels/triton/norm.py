"""layer_norm and rms_norm along the last axis, with the residual addition in the same pass.

    s = x + residual (rounded to storage, as the backward will read it)
    h = (s - mean) rstd, rstd = 1 / sqrt(var + eps)     rms: h = s rstd, rstd = 1 / sqrt(ms + eps)
    y = h weight + bias
    u = dy weight;  dx = rstd (u - mean(u) - h mean(u h)) + grad_sum            rms: no mean(u)
    dweight = sum over rows of dy h,  dbias = sum over rows of dy

Saved for backward: mean and rstd, one float32 a row each. Rows of up to 8192 elements stay in
registers: forward reads x once, backward x and dy once; a backward program walks over its share of
the rows and keeps their dweight and dbias in registers, written as one partial row a program and
summed in a fixed order. Longer rows are walked in tiles: statistics are merged tile by tile (Chan,
Golub and LeVeque, 1983), and dweight gets a kernel of its own. Tuned over warps alone: the tile
follows from n.
"""

import math

import torch
import triton
import triton.language as tl

from pyllm.kernels.triton import arguments
from pyllm.kernels.triton.columns import column_sums
from pyllm.kernels.triton.storage import narrow, widen
from pyllm.kernels.triton.tuning import Tuned, warps

WHOLE_ROW = 8192
TILE = 4096
SHARES = 264  # of the rows in backward: two for each multiprocessor of an H100


@triton.jit
def _summed(x, residual, total, at, inside, RESIDUAL: tl.constexpr):
    """x, or x + residual as it is stored in `total`."""
    s = widen(tl.load(x + at, mask=inside, other=0))
    if RESIDUAL:
        s += widen(tl.load(residual + at, mask=inside, other=0))
        stored = narrow(s, total.dtype.element_ty)
        tl.store(total + at, stored, mask=inside)
        s = widen(stored)
    return s


@triton.jit
def _affine(h, weight, bias, i, n, WEIGHT: tl.constexpr, BIAS: tl.constexpr):
    if WEIGHT:
        h *= widen(tl.load(weight + i, mask=i < n, other=0))
    if BIAS:
        h += widen(tl.load(bias + i, mask=i < n, other=0))
    return h


@triton.jit
def norm_forward_kernel(
    x, residual, weight, bias, total, y, mean_out, rstd_out, n, eps,
    LAYER: tl.constexpr, RESIDUAL: tl.constexpr, WEIGHT: tl.constexpr, BIAS: tl.constexpr,
    STATS: tl.constexpr, WHOLE: tl.constexpr, N: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    base = row * n
    mean = 0.0
    if WHOLE:
        i = tl.arange(0, N)
        s = _summed(x, residual, total, base + i, i < n, RESIDUAL)
        if LAYER:
            mean = tl.sum(s, 0) / n
        centred = tl.where(i < n, s - mean, 0.0)
        rstd = 1 / tl.sqrt_rn(tl.sum(centred * centred, 0) / n + eps)
        result = _affine(centred * rstd, weight, bias, i, n, WEIGHT, BIAS)
        tl.store(y + base + i, narrow(result, y.dtype.element_ty), mask=i < n)
    else:
        squares, seen = 0.0, 0.0
        for start in range(0, n, N):
            i = start + tl.arange(0, N)
            s = _summed(x, residual, total, base + i, i < n, RESIDUAL)
            if LAYER:
                count = tl.minimum(n - start, N).to(tl.float32)
                tile_mean = tl.sum(s, 0) / count
                s = tl.where(i < n, s - tile_mean, 0.0)
                shift = tile_mean - mean
                squares += shift * shift * (seen * count / (seen + count))
                mean += shift * (count / (seen + count))
                seen += count
            squares += tl.sum(s * s, 0)
        rstd = 1 / tl.sqrt_rn(squares / n + eps)
        source = total if RESIDUAL else x
        for start in range(0, n, N):
            i = start + tl.arange(0, N)
            s = widen(tl.load(source + base + i, mask=i < n, other=0))
            result = _affine((s - mean) * rstd, weight, bias, i, n, WEIGHT, BIAS)
            tl.store(y + base + i, narrow(result, y.dtype.element_ty), mask=i < n)
    if STATS:
        if LAYER:
            tl.store(mean_out + row, mean)
        tl.store(rstd_out + row, rstd)


@triton.jit
def _row(dy, x, weight, mean, rstd, base, i, n, WEIGHT: tl.constexpr):
    """dy, the normalised x, and dy weight."""
    inside = i < n
    g = widen(tl.load(dy + base + i, mask=inside, other=0))
    s = widen(tl.load(x + base + i, mask=inside, other=0))
    h = tl.where(inside, (s - mean) * rstd, 0.0)
    u = g
    if WEIGHT:
        u = g * widen(tl.load(weight + i, mask=inside, other=0))
    return g, h, u


@triton.jit
def _store_dx(dx, more, base, i, n, value, MORE: tl.constexpr):
    if MORE:
        value += widen(tl.load(more + base + i, mask=i < n, other=0))
    tl.store(dx + base + i, narrow(value, dx.dtype.element_ty), mask=i < n)


@triton.jit
def norm_backward_kernel(
    dy, x, weight, mean_in, rstd_in, more, dx, dweight, dbias, M, n, each,
    LAYER: tl.constexpr, WEIGHT: tl.constexpr, MORE: tl.constexpr, N: tl.constexpr,
):  # fmt: skip
    """Rows that fit in registers: dx, and a partial row of dweight and dbias a program."""
    share = tl.program_id(0).to(tl.int64)
    i = tl.arange(0, N)
    weight_sum, bias_sum = tl.zeros((N,), tl.float32), tl.zeros((N,), tl.float32)
    for row in range(share * each, tl.minimum((share + 1) * each, M)):
        base = row * n
        rstd = tl.load(rstd_in + row)
        mean = 0.0
        if LAYER:
            mean = tl.load(mean_in + row)
        g, h, u = _row(dy, x, weight, mean, rstd, base, i, n, WEIGHT)
        value = u - h * (tl.sum(u * h, 0) / n)
        if LAYER:
            value -= tl.sum(u, 0) / n
        _store_dx(dx, more, base, i, n, value * rstd, MORE)
        weight_sum += g * h
        bias_sum += g
    if WEIGHT:
        at = share.to(tl.int64) * n + i
        tl.store(dweight + at, weight_sum, mask=i < n)
        if LAYER:
            tl.store(dbias + at, bias_sum, mask=i < n)


@triton.jit
def norm_backward_long_kernel(
    dy, x, weight, mean_in, rstd_in, more, dx, n,
    LAYER: tl.constexpr, WEIGHT: tl.constexpr, MORE: tl.constexpr, N: tl.constexpr,
):  # fmt: skip
    """Rows in tiles: dx alone."""
    row = tl.program_id(0).to(tl.int64)
    base = row * n
    rstd = tl.load(rstd_in + row)
    mean = 0.0
    if LAYER:
        mean = tl.load(mean_in + row)
    u_sum, uh_sum = 0.0, 0.0
    for start in range(0, n, N):
        i = start + tl.arange(0, N)
        _, h, u = _row(dy, x, weight, mean, rstd, base, i, n, WEIGHT)
        u_sum += tl.sum(u, 0)
        uh_sum += tl.sum(u * h, 0)
    for start in range(0, n, N):
        i = start + tl.arange(0, N)
        _, h, u = _row(dy, x, weight, mean, rstd, base, i, n, WEIGHT)
        value = u - h * (uh_sum / n)
        if LAYER:
            value -= u_sum / n
        _store_dx(dx, more, base, i, n, value * rstd, MORE)


@triton.jit
def norm_backward_columns_kernel(
    dy, x, mean_in, rstd_in, dweight, dbias, M, n, each,
    LAYER: tl.constexpr, R: tl.constexpr, N: tl.constexpr,
):  # fmt: skip
    """A partial row of dweight and dbias for N columns of a share of the rows."""
    share = tl.program_id(1)
    i = tl.program_id(0) * N + tl.arange(0, N)
    weight_sum, bias_sum = tl.zeros((N,), tl.float32), tl.zeros((N,), tl.float32)
    for start in range(share * each, tl.minimum((share + 1) * each, M), R):
        row = start + tl.arange(0, R)
        present = row < tl.minimum((share + 1) * each, M)
        inside = present[:, None] & (i[None, :] < n)
        at = row[:, None].to(tl.int64) * n + i[None, :]
        g = widen(tl.load(dy + at, mask=inside, other=0))
        h = widen(tl.load(x + at, mask=inside, other=0))
        if LAYER:
            h -= tl.load(mean_in + row, mask=present, other=0)[:, None]
        h *= tl.load(rstd_in + row, mask=present, other=0)[:, None]
        weight_sum += tl.sum(tl.where(inside, g * h, 0.0), 0)
        bias_sum += tl.sum(g, 0)
    at = share.to(tl.int64) * n + i
    tl.store(dweight + at, weight_sum, mask=i < n)
    if LAYER:
        tl.store(dbias + at, bias_sum, mask=i < n)


FORWARD = Tuned(norm_forward_kernel, warps(8, 4, 16), key=["N", "LAYER", "RESIDUAL"], writes=["y"])
BACKWARD = Tuned(norm_backward_kernel, warps(8, 4, 16), key=["N", "LAYER"], writes=["dx"])
BACKWARD_LONG = Tuned(norm_backward_long_kernel, warps(8, 16), key=["N", "LAYER"], writes=["dx"])
BACKWARD_COLUMNS = Tuned(norm_backward_columns_kernel, warps(4, 8), key=["LAYER"])


def _normalisable(x):
    arguments.floating(x, "x")
    if x.ndim == 0:
        raise ValueError("x: expected at least one axis")


def _affine_of(a, name, x):
    if a is None:
        return None
    return arguments.beside(a, name, x, (x.dtype, torch.float32), x.shape[-1:]).contiguous()


def _forward(layer, x, weight, bias, residual, eps, out, return_stats):
    _normalisable(x)
    if not (eps >= 0 and math.isfinite(eps)):
        raise ValueError(f"eps: expected 0 or more, finite, got {eps}")
    weight, bias = _affine_of(weight, "weight", x), _affine_of(bias, "bias", x)
    if residual is not None:
        arguments.same(residual, "residual", x, "x")
    y = arguments.Output(out, x, {"x": x, "residual": residual}, {"weight": weight, "bias": bias})
    fresh = {"device": x.device}
    total = None if residual is None else torch.empty(x.shape, dtype=x.dtype, **fresh)
    stats = torch.empty((2, *x.shape[:-1]), dtype=torch.float32, **fresh)
    n = x.shape[-1]
    if x.numel():
        whole = n <= WHOLE_ROW
        with torch.cuda.device_of(x):
            FORWARD[(x.numel() // n,)](
                x.contiguous(), None if residual is None else residual.contiguous(), weight, bias,
                total, y.data, stats[0], stats[1], n, eps, LAYER=layer,
                RESIDUAL=residual is not None, WEIGHT=weight is not None, BIAS=bias is not None,
                STATS=return_stats, WHOLE=whole, N=triton.next_power_of_2(n) if whole else TILE,
            )  # fmt: skip
    results = [y.result()]
    if residual is not None:
        results.append(total)
    if return_stats:
        results += [stats[0], stats[1]] if layer else [stats[1]]
    return results[0] if len(results) == 1 else tuple(results)


def _backward(layer, grad, x, weight, mean, rstd, grad_sum, out):
    _normalisable(x)
    arguments.same(grad, "grad", x, "x")
    statistics = {"mean": mean, "rstd": rstd} if layer else {"rstd": rstd}
    for name, values in statistics.items():
        arguments.beside(values, name, x, (torch.float32,), x.shape[:-1])
    given, weight = weight, _affine_of(weight, "weight", x)
    if grad_sum is not None:
        arguments.same(grad_sum, "grad_sum", x, "x")
    dx = arguments.Output(out, x, {"x": x, "grad": grad, "grad_sum": grad_sum}, {"weight": weight})
    n = x.shape[-1]
    M = x.numel() // n if n else 0
    shares = min(M, SHARES) if n <= WHOLE_ROW else min(triton.cdiv(M, 64), 32)
    partial = torch.zeros((2, shares, n), dtype=torch.float32, device=x.device)
    if x.numel():
        each = triton.cdiv(M, shares)
        dy, flat = grad.contiguous(), x.contiguous()
        more = None if grad_sum is None else grad_sum.contiguous()
        mean = mean.contiguous() if layer else None
        rstd = rstd.contiguous()
        kinds = {"LAYER": layer, "WEIGHT": weight is not None, "MORE": more is not None}
        with torch.cuda.device_of(x):
            if n <= WHOLE_ROW:
                BACKWARD[(shares,)](
                    dy, flat, weight, mean, rstd, more, dx.data, partial[0], partial[1], M, n, each,
                    **kinds, N=triton.next_power_of_2(n),
                )  # fmt: skip
            else:
                if weight is not None:  # first: out may be x or grad
                    BACKWARD_COLUMNS[(triton.cdiv(n, 128), shares)](
                        dy, flat, mean, rstd, partial[0], partial[1], M, n, each,
                        LAYER=layer, R=16, N=128,
                    )  # fmt: skip
                BACKWARD_LONG[(M,)](dy, flat, weight, mean, rstd, more, dx.data, n, **kinds, N=TILE)
    if weight is None:
        return dx.result(), None, None
    dweight = column_sums(partial[0], given.dtype)
    return dx.result(), dweight, column_sums(partial[1], given.dtype) if layer else None


def layer_norm(x, weight, bias, residual, eps, out, return_stats):
    return _forward(True, x, weight, bias, residual, eps, out, return_stats)


def layer_norm_backward(grad, x, weight, mean, rstd, grad_sum, out):
    return _backward(True, grad, x, weight, mean, rstd, grad_sum, out)


def rms_norm(x, weight, residual, eps, out, return_stats):
    return _forward(False, x, weight, None, residual, eps, out, return_stats)


def rms_norm_backward(grad, x, weight, rstd, grad_sum, out):
    return _backward(False, grad, x, weight, None, rstd, grad_sum, out)[:2]
