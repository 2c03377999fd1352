"""gelu, silu and relu; swiglu and geglu; biases before them in the same pass.

    y = f(x + bias)                       dx = dy f'(x + bias),             dbias = sum of dx
    y = f(a) u, a = gate + gate_bias,     da = dy u f'(a),  du = dy f(a),   likewise
    u = up + up_bias

Each array is (M, n) with a row pitch, so that the halves of a packed array need no copy, and is
read once. Without biases a contiguous array is one row. Forward, and backward without biases, cut
it into tiles of R rows by C columns; with a bias a backward program walks down its share of the
rows and keeps the sums of its C columns in registers: one partial row a share, added up in a fixed
order.
"""

import math

import torch
import triton
import triton.language as tl

from pyllm.kernels.triton import arguments
from pyllm.kernels.triton.activations import activate, slope
from pyllm.kernels.triton.columns import column_sums
from pyllm.kernels.triton.storage import narrow, widen
from pyllm.kernels.triton.tuning import Tuned

SHARES = 64  # of the rows, where a bias is summed


@triton.jit
def _biased(x, bias, at, i, n, inside, BIAS: tl.constexpr):
    value = widen(tl.load(x + at, mask=inside, other=0))
    if BIAS:
        value += widen(tl.load(bias + i, mask=i < n, other=0))[None, :]
    return value


@triton.jit
def activation_forward_kernel(
    x, bias, y, M, n, x_pitch, y_pitch,
    KIND: tl.constexpr, BIAS: tl.constexpr, C: tl.constexpr, ELEMENTS: tl.constexpr,
):  # fmt: skip
    R: tl.constexpr = ELEMENTS // C
    across = tl.cdiv(n, C)
    i = (tl.program_id(0) % across).to(tl.int64) * C + tl.arange(0, C)
    row = (tl.program_id(0) // across).to(tl.int64) * R + tl.arange(0, R)
    inside = (row[:, None] < M) & (i[None, :] < n)
    a = _biased(x, bias, row[:, None] * x_pitch + i[None, :], i, n, inside, BIAS)
    at = row[:, None] * y_pitch + i[None, :]
    tl.store(y + at, narrow(activate(a, KIND), y.dtype.element_ty), mask=inside)


@triton.jit
def activation_backward_kernel(
    dy, x, bias, dx, dbias, M, n, each, dy_pitch, x_pitch, dx_pitch,
    KIND: tl.constexpr, BIAS: tl.constexpr, C: tl.constexpr, ELEMENTS: tl.constexpr,
):  # fmt: skip
    R: tl.constexpr = ELEMENTS // C
    across = tl.cdiv(n, C)
    i = (tl.program_id(0) % across).to(tl.int64) * C + tl.arange(0, C)
    share = (tl.program_id(0) // across).to(tl.int64)
    end = tl.minimum((share + 1) * each, M)
    total = tl.zeros((C,), tl.float32)
    for start in range(share * each, end, R):
        row = start + tl.arange(0, R)
        inside = (row[:, None] < end) & (i[None, :] < n)
        a = _biased(x, bias, row[:, None] * x_pitch + i[None, :], i, n, inside, BIAS)
        g = widen(tl.load(dy + row[:, None] * dy_pitch + i[None, :], mask=inside, other=0))
        value = g * slope(a, KIND)
        at = row[:, None] * dx_pitch + i[None, :]
        tl.store(dx + at, narrow(value, dx.dtype.element_ty), mask=inside)
        if BIAS:
            total += tl.sum(tl.where(inside, value, 0.0), 0)
    if BIAS:
        tl.store(dbias + share * n + i, total, mask=i < n)


@triton.jit
def glu_forward_kernel(
    gate, up, gate_bias, up_bias, y, M, n, gate_pitch, up_pitch, y_pitch,
    KIND: tl.constexpr, GATE_BIAS: tl.constexpr, UP_BIAS: tl.constexpr,
    C: tl.constexpr, ELEMENTS: tl.constexpr,
):  # fmt: skip
    R: tl.constexpr = ELEMENTS // C
    across = tl.cdiv(n, C)
    i = (tl.program_id(0) % across).to(tl.int64) * C + tl.arange(0, C)
    row = (tl.program_id(0) // across).to(tl.int64) * R + tl.arange(0, R)
    inside = (row[:, None] < M) & (i[None, :] < n)
    a = _biased(gate, gate_bias, row[:, None] * gate_pitch + i[None, :], i, n, inside, GATE_BIAS)
    u = _biased(up, up_bias, row[:, None] * up_pitch + i[None, :], i, n, inside, UP_BIAS)
    at = row[:, None] * y_pitch + i[None, :]
    tl.store(y + at, narrow(activate(a, KIND) * u, y.dtype.element_ty), mask=inside)


@triton.jit
def glu_backward_kernel(
    dy, gate, up, gate_bias, up_bias, dgate, dup, dgate_bias, dup_bias, M, n, each,
    dy_pitch, gate_pitch, up_pitch, dgate_pitch, dup_pitch,
    KIND: tl.constexpr, GATE_BIAS: tl.constexpr, UP_BIAS: tl.constexpr,
    C: tl.constexpr, ELEMENTS: tl.constexpr,
):  # fmt: skip
    R: tl.constexpr = ELEMENTS // C
    across = tl.cdiv(n, C)
    i = (tl.program_id(0) % across).to(tl.int64) * C + tl.arange(0, C)
    share = (tl.program_id(0) // across).to(tl.int64)
    end = tl.minimum((share + 1) * each, M)
    gate_total, up_total = tl.zeros((C,), tl.float32), tl.zeros((C,), tl.float32)
    for start in range(share * each, end, R):
        row = start + tl.arange(0, R)
        inside = (row[:, None] < end) & (i[None, :] < n)
        at = row[:, None] * gate_pitch + i[None, :]
        a = _biased(gate, gate_bias, at, i, n, inside, GATE_BIAS)
        u = _biased(up, up_bias, row[:, None] * up_pitch + i[None, :], i, n, inside, UP_BIAS)
        g = widen(tl.load(dy + row[:, None] * dy_pitch + i[None, :], mask=inside, other=0))
        da, du = g * u * slope(a, KIND), g * activate(a, KIND)
        at = row[:, None] * dgate_pitch + i[None, :]
        tl.store(dgate + at, narrow(da, dgate.dtype.element_ty), mask=inside)
        at = row[:, None] * dup_pitch + i[None, :]
        tl.store(dup + at, narrow(du, dup.dtype.element_ty), mask=inside)
        if GATE_BIAS:
            gate_total += tl.sum(tl.where(inside, da, 0.0), 0)
        if UP_BIAS:
            up_total += tl.sum(tl.where(inside, du, 0.0), 0)
    if GATE_BIAS:
        tl.store(dgate_bias + share * n + i, gate_total, mask=i < n)
    if UP_BIAS:
        tl.store(dup_bias + share * n + i, up_total, mask=i < n)


# Bandwidth is the limit: enough bytes in flight a thread (16 of each array) at few registers.
FORWARD_TILES = [
    triton.Config({"ELEMENTS": elements}, num_warps=n)
    for elements, n in ((1024, 4), (2048, 4), (2048, 8), (4096, 8))
]
# One tile size in backward: the sums of a bias depend on it.
BACKWARD_TILES = [triton.Config({"ELEMENTS": 2048}, num_warps=n) for n in (8, 4)]
KEY = ["C", "KIND"]
FORWARD = Tuned(activation_forward_kernel, FORWARD_TILES, KEY, writes=["y"])
BACKWARD = Tuned(activation_backward_kernel, BACKWARD_TILES, KEY, writes=["dx"])
GLU_FORWARD = Tuned(glu_forward_kernel, FORWARD_TILES, KEY, writes=["y"])
GLU_BACKWARD = Tuned(glu_backward_kernel, BACKWARD_TILES, KEY, writes=["dgate", "dup"])


class _Cut:
    """How arrays of one shape are seen as (M, n) and cut; `matrix` gives array and pitch."""

    def __init__(self, *arrays, biased):
        first = arrays[0]
        self.flat = not biased and all(a.is_contiguous() for a in arrays)
        if self.flat or first.ndim == 0:
            self.M, self.n = 1, first.numel()
        else:
            self.M, self.n = math.prod(first.shape[:-1]), first.shape[-1]
        self.biased = biased
        widest = 256 if biased else 1024  # with a bias more columns side by side, fewer each
        self.C = min(triton.next_power_of_2(max(self.n, 1)), widest)
        self.shares = min(triton.cdiv(self.M, 16), SHARES) if biased else None
        self.each = triton.cdiv(self.M, self.shares) if biased and self.M else None

    def matrix(self, a):
        if self.flat or a.ndim == 0:
            return a, self.n
        rows = arguments.rows(a)
        return rows, rows.stride(0)

    def tiles(self, meta):
        rows = meta["ELEMENTS"] // self.C
        return (triton.cdiv(self.n, self.C) * triton.cdiv(self.M, rows),)

    def backward(self):
        """Grid and rows a program of the backward kernels."""
        if self.biased:
            return (triton.cdiv(self.n, self.C) * self.shares,), self.each
        return self.tiles, BACKWARD_TILES[0].kwargs["ELEMENTS"] // self.C

    def partial(self, x, wanted):
        if not wanted:
            return None
        return torch.zeros((self.shares, self.n), dtype=torch.float32, device=x.device)


def _bias_of(bias, name, x):
    if bias is None:
        return None
    if x.ndim == 0:
        raise ValueError(f"{name}: x has no axis to add it along")
    return arguments.beside(bias, name, x, shape=x.shape[-1:]).contiguous()


def _forward(kind, x, bias, out):
    arguments.floating(x, "x")
    bias = _bias_of(bias, "bias", x)
    y = arguments.Output(out, x, {"x": x}, {"bias": bias})
    if x.numel():
        cut = _Cut(x, y.data, biased=bias is not None)
        (source, pitch), (target, y_pitch) = cut.matrix(x), cut.matrix(y.data)
        with torch.cuda.device_of(x):
            FORWARD[cut.tiles](
                source, bias, target, cut.M, cut.n, pitch, y_pitch,
                KIND=kind, BIAS=bias is not None, C=cut.C,
            )  # fmt: skip
    return y.result()


def _backward(kind, grad, x, bias, out):
    arguments.floating(x, "x")
    arguments.same(grad, "grad", x, "x")
    bias = _bias_of(bias, "bias", x)
    dx = arguments.Output(out, x, {"x": x, "grad": grad}, {"bias": bias})
    cut = _Cut(x, grad, dx.data, biased=bias is not None)
    partial = cut.partial(x, bias is not None)
    if x.numel():
        grid, each = cut.backward()
        (dy, dy_pitch), (source, pitch), (target, dx_pitch) = map(cut.matrix, (grad, x, dx.data))
        with torch.cuda.device_of(x):
            BACKWARD[grid](
                dy, source, bias, target, partial, cut.M, cut.n, each, dy_pitch, pitch, dx_pitch,
                KIND=kind, BIAS=bias is not None, C=cut.C,
            )  # fmt: skip
    return dx.result() if bias is None else (dx.result(), column_sums(partial, x.dtype))


def _glu(kind, gate, up, gate_bias, up_bias, out):
    arguments.floating(gate, "gate")
    arguments.same(up, "up", gate, "gate")
    gate_bias = _bias_of(gate_bias, "gate_bias", gate)
    up_bias = _bias_of(up_bias, "up_bias", gate)
    biases = {"gate_bias": gate_bias, "up_bias": up_bias}
    y = arguments.Output(out, gate, {"gate": gate, "up": up}, biases)
    if gate.numel():
        cut = _Cut(gate, up, y.data, biased=gate_bias is not None or up_bias is not None)
        (a, a_pitch), (u, u_pitch), (target, pitch) = map(cut.matrix, (gate, up, y.data))
        with torch.cuda.device_of(gate):
            GLU_FORWARD[cut.tiles](
                a, u, gate_bias, up_bias, target, cut.M, cut.n, a_pitch, u_pitch, pitch,
                KIND=kind, GATE_BIAS=gate_bias is not None, UP_BIAS=up_bias is not None, C=cut.C,
            )  # fmt: skip
    return y.result()


def _glu_backward(kind, grad, gate, up, gate_bias, up_bias, out):
    arguments.floating(gate, "gate")
    arguments.same(up, "up", gate, "gate")
    arguments.same(grad, "grad", gate, "gate")
    gate_bias = _bias_of(gate_bias, "gate_bias", gate)
    up_bias = _bias_of(up_bias, "up_bias", gate)
    if out is not None and (not isinstance(out, tuple) or len(out) != 2):
        raise TypeError("out: expected a tuple of two tensors, for dgate and dup")
    inputs, biases = {"grad": grad, "gate": gate, "up": up}, {"gate_bias": gate_bias,
                                                              "up_bias": up_bias}  # fmt: skip
    dgate, dup = (
        arguments.Output(o, gate, inputs, biases) for o in (out if out is not None else (None,) * 2)
    )
    if out is not None:
        arguments.apart(out[1], "out", {"out[0]": out[0]})
    cut = _Cut(
        gate, up, grad, dgate.data, dup.data, biased=any(b is not None for b in biases.values())
    )
    partials = [cut.partial(gate, b is not None) for b in biases.values()]
    if gate.numel():
        grid, each = cut.backward()
        arrays, pitches = zip(*map(cut.matrix, (grad, gate, up, dgate.data, dup.data)), strict=True)
        dy, a, u, da, du = arrays
        with torch.cuda.device_of(gate):
            GLU_BACKWARD[grid](
                dy, a, u, gate_bias, up_bias, da, du, *partials, cut.M, cut.n, each, *pitches,
                KIND=kind, GATE_BIAS=gate_bias is not None, UP_BIAS=up_bias is not None, C=cut.C,
            )  # fmt: skip
    sums = [column_sums(p, gate.dtype) for p in partials if p is not None]
    return dgate.result(), dup.result(), *sums


def _gelu(approximate):
    if approximate not in ("none", "tanh"):
        raise ValueError(f"approximate: expected 'none' or 'tanh', got {approximate!r}")
    return "gelu" if approximate == "none" else "gelu_tanh"


def gelu(x, bias, approximate, out):
    return _forward(_gelu(approximate), x, bias, out)


def gelu_backward(grad, x, bias, approximate, out):
    return _backward(_gelu(approximate), grad, x, bias, out)


def silu(x, bias, out):
    return _forward("silu", x, bias, out)


def silu_backward(grad, x, bias, out):
    return _backward("silu", grad, x, bias, out)


def relu(x, bias, out):
    return _forward("relu", x, bias, out)


def relu_backward(grad, x, bias, out):
    return _backward("relu", grad, x, bias, out)


def swiglu(gate, up, gate_bias, up_bias, out):
    return _glu("silu", gate, up, gate_bias, up_bias, out)


def swiglu_backward(grad, gate, up, gate_bias, up_bias, out):
    return _glu_backward("silu", grad, gate, up, gate_bias, up_bias, out)


def geglu(gate, up, gate_bias, up_bias, approximate, out):
    return _glu(_gelu(approximate), gate, up, gate_bias, up_bias, out)


def geglu_backward(grad, gate, up, gate_bias, up_bias, approximate, out):
    return _glu_backward(_gelu(approximate), grad, gate, up, gate_bias, up_bias, out)
