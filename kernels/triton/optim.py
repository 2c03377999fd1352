"""Adam, AdamW, SGD and Lion steps on flat buffers, in place.

    g = grad_scale * grad
    Adam   g += weight_decay p (AdamW: p *= 1 - lr weight_decay)
           m = beta1 m + (1 - beta1) g,   v = beta2 v + (1 - beta2) g^2,   AMSGrad: v' = max(v', v)
           p -= lr (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)
    SGD    g += weight_decay p;  b = momentum b + (1 - dampening) g, at first b = g
           p -= lr b, or Nesterov lr (g + momentum b)
    Lion   p *= 1 - lr weight_decay;  p -= lr sign(beta1 m + (1 - beta1) g)
           m = beta2 m + (1 - beta2) g

Kingma and Ba (2015); Loshchilov and Hutter (2019); Reddi et al. (2018); Sutskever et al. (2013);
Chen et al. (2023). A program takes a stretch of the buffers; each array is read and written once:
AdamW moves 28 bytes a float32 parameter. Where there is a float32 master copy the step acts on it
and the 16-bit parameter is its rounding.
"""

import math

import torch
import triton
import triton.language as tl

from pyllm.kernels.triton import arguments
from pyllm.kernels.triton.storage import TYPES, narrow, widen
from pyllm.kernels.triton.tuning import Tuned


@triton.jit
def _read(param, grad, master, i, inside, grad_scale, MASTER: tl.constexpr):
    source = master if MASTER else param
    p = widen(tl.load(source + i, mask=inside, other=0))
    return p, widen(tl.load(grad + i, mask=inside, other=0)) * grad_scale


@triton.jit
def _write(param, master, i, inside, p, MASTER: tl.constexpr):
    if MASTER:
        tl.store(master + i, p, mask=inside)
    tl.store(param + i, narrow(p, param.dtype.element_ty), mask=inside)


@triton.jit
def adam_kernel(
    param, grad, exp_avg, exp_avg_sq, largest, master, n,
    rate: tl.float32, root: tl.float32, beta1: tl.float32, beta2: tl.float32, rest1: tl.float32,
    rest2: tl.float32, eps: tl.float32, keep: tl.float32, pull: tl.float32, grad_scale: tl.float32,
    LARGEST: tl.constexpr, MASTER: tl.constexpr, ELEMENTS: tl.constexpr,
):  # fmt: skip
    i = tl.program_id(0).to(tl.int64) * ELEMENTS + tl.arange(0, ELEMENTS)
    inside = i < n
    p, g = _read(param, grad, master, i, inside, grad_scale, MASTER)
    g += p * pull
    m = tl.load(exp_avg + i, mask=inside, other=0) * beta1 + g * rest1
    v = tl.load(exp_avg_sq + i, mask=inside, other=0) * beta2 + g * g * rest2
    tl.store(exp_avg + i, m, mask=inside)
    tl.store(exp_avg_sq + i, v, mask=inside)
    if LARGEST:
        v = tl.maximum(v, tl.load(largest + i, mask=inside, other=0))
        tl.store(largest + i, v, mask=inside)
    p = p * keep - rate * m / (tl.sqrt_rn(v) * root + eps)
    _write(param, master, i, inside, p, MASTER)


@triton.jit
def sgd_kernel(
    param, grad, buffer, master, n, lr: tl.float32, momentum: tl.float32,
    rest: tl.float32, pull: tl.float32, grad_scale: tl.float32,
    BUFFER: tl.constexpr, FIRST: tl.constexpr, NESTEROV: tl.constexpr, MASTER: tl.constexpr,
    ELEMENTS: tl.constexpr,
):  # fmt: skip
    i = tl.program_id(0).to(tl.int64) * ELEMENTS + tl.arange(0, ELEMENTS)
    inside = i < n
    p, g = _read(param, grad, master, i, inside, grad_scale, MASTER)
    g += p * pull
    step = g
    if BUFFER:
        b = g
        if not FIRST:
            b = tl.load(buffer + i, mask=inside, other=0) * momentum + g * rest
        tl.store(buffer + i, b, mask=inside)
        step = g + b * momentum if NESTEROV else b
    _write(param, master, i, inside, p - lr * step, MASTER)


@triton.jit
def lion_kernel(
    param, grad, exp_avg, master, n, lr: tl.float32, beta1: tl.float32,
    beta2: tl.float32, rest1: tl.float32, rest2: tl.float32, keep: tl.float32,
    grad_scale: tl.float32, MASTER: tl.constexpr, ELEMENTS: tl.constexpr,
):  # fmt: skip
    i = tl.program_id(0).to(tl.int64) * ELEMENTS + tl.arange(0, ELEMENTS)
    inside = i < n
    p, g = _read(param, grad, master, i, inside, grad_scale, MASTER)
    m = tl.load(exp_avg + i, mask=inside, other=0)
    mixed = m * beta1 + g * rest1
    sign = tl.where(mixed > 0, 1.0, tl.where(mixed < 0, -1.0, mixed))  # NaN stays NaN
    tl.store(exp_avg + i, m * beta2 + g * rest2, mask=inside)
    _write(param, master, i, inside, p * keep - lr * sign, MASTER)


# Nothing but memory traffic: 8 elements a thread keep enough loads in flight. One configuration: a
# timed step would be a step taken.
_TILE = [triton.Config({"ELEMENTS": 1024}, num_warps=4)]
ADAM = Tuned(adam_kernel, _TILE, key=[])
SGD = Tuned(sgd_kernel, _TILE, key=[])
LION = Tuned(lion_kernel, _TILE, key=[])


def _fraction(value, name):
    if not 0 <= value < 1:
        raise ValueError(f"{name}: expected 0 <= x < 1, got {value}")


def _in_place(x, name, like, dtypes):
    """A buffer that is written: flat, contiguous, one element an address."""
    if isinstance(x, tuple):
        raise TypeError(f"{name}: the Triton back end has no block-wise (8-bit) states")
    arguments.beside(x, name, like, dtypes, like.shape)
    if not x.is_contiguous():
        raise ValueError(f"{name}: expected a contiguous tensor")
    return x


def _checked(param, grad, master, **states):
    if arguments.tensor(param, "param").dtype not in TYPES:
        arguments.floating(param, "param")
    if param.ndim != 1:
        raise ValueError(f"param: expected 1 axes, got shape {tuple(param.shape)}")
    _in_place(param, "param", param, (param.dtype,))
    _in_place(grad, "grad", param, (param.dtype, torch.float32))
    for name, state in states.items():
        _in_place(state, name, param, (torch.float32,))
    if master is not None:
        if param.dtype == torch.float32:
            raise ValueError("master: only 16-bit parameters have one, param is float32")
        _in_place(master, "master", param, (torch.float32,))


def _launch(kernel, param, *values, **options):
    if param.numel():
        with torch.cuda.device_of(param):
            kernel[lambda meta: (triton.cdiv(param.numel(), meta["ELEMENTS"]),)](
                param, *values, **options
            )


def adam_step(
    param, grad, exp_avg, exp_avg_sq, lr, beta1, beta2, eps, weight_decay, step, max_exp_avg_sq,
    grad_scale, master, decoupled,
):  # fmt: skip
    states = {"exp_avg": exp_avg, "exp_avg_sq": exp_avg_sq}
    if max_exp_avg_sq is not None:
        states["max_exp_avg_sq"] = max_exp_avg_sq
    _checked(param, grad, master, **states)
    _fraction(beta1, "beta1")
    _fraction(beta2, "beta2")
    if step < 1:
        raise ValueError(f"step: counted from 1, got {step}")
    _launch(
        ADAM, param, grad, exp_avg, exp_avg_sq, max_exp_avg_sq, master, param.numel(),
        lr / (1 - beta1**step), 1 / math.sqrt(1 - beta2**step), beta1, beta2, 1 - beta1, 1 - beta2,
        eps, 1 - lr * weight_decay if decoupled else 1.0, 0.0 if decoupled else weight_decay,
        grad_scale, LARGEST=max_exp_avg_sq is not None, MASTER=master is not None,
    )  # fmt: skip


def sgd_step(
    param, grad, momentum_buffer, lr, momentum, dampening, weight_decay, nesterov, first,
    grad_scale, master,
):  # fmt: skip
    if momentum_buffer is None and (momentum != 0 or nesterov):
        raise ValueError("momentum_buffer: momentum and Nesterov's step need one")
    states = {} if momentum_buffer is None else {"momentum_buffer": momentum_buffer}
    _checked(param, grad, master, **states)
    _launch(
        SGD, param, grad, momentum_buffer, master, param.numel(), lr, momentum, 1 - dampening,
        weight_decay, grad_scale, BUFFER=momentum_buffer is not None, FIRST=bool(first),
        NESTEROV=bool(nesterov), MASTER=master is not None,
    )  # fmt: skip


def lion_step(param, grad, exp_avg, lr, beta1, beta2, weight_decay, grad_scale, master):
    _checked(param, grad, master, exp_avg=exp_avg)
    _fraction(beta1, "beta1")
    _fraction(beta2, "beta2")
    _launch(
        LION, param, grad, exp_avg, master, param.numel(), lr, beta1, beta2, 1 - beta1, 1 - beta2,
        1 - lr * weight_decay, grad_scale, MASTER=master is not None,
    )  # fmt: skip
