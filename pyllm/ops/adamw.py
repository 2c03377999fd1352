"""Adam and AdamW steps on flat buffers, and the norm that clipping needs."""

from typing import Any

from pyllm.ops.backend import backend_of
from pyllm.ops.types import Array


def adamw_step(
    param: Array,
    grad: Array,
    exp_avg: Array,
    exp_avg_sq: Array,
    *,
    lr: float,
    step: int,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    grad_scale: float = 1.0,
    master: Array | None = None,
) -> None:
    """One AdamW update in place (Loshchilov and Hutter, "Decoupled weight decay", 2019).

    Args:
        param: (n,), float32 or bfloat16, contiguous.
        grad: (n,), dtype of param or float32.
        exp_avg, exp_avg_sq: (n,), float32: the moments.
        step: of this update, counted from 1.
        grad_scale: what the gradient is multiplied by first (clipping).
        master: (n,), float32: the exact parameters where param is bfloat16.

    Raises:
        TypeError: a dtype that is not supported.
        ValueError: a shape that does not fit, a decay rate outside [0, 1), step below 1.
    """
    _step(
        param, grad, exp_avg, exp_avg_sq, lr, beta1, beta2, eps, weight_decay, step, grad_scale,
        master, True,
    )  # fmt: skip


def adam_step(
    param: Array,
    grad: Array,
    exp_avg: Array,
    exp_avg_sq: Array,
    *,
    lr: float,
    step: int,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    grad_scale: float = 1.0,
    master: Array | None = None,
) -> None:
    """One Adam update in place (Kingma and Ba 2015): the decay is added to the gradient."""
    _step(
        param, grad, exp_avg, exp_avg_sq, lr, beta1, beta2, eps, weight_decay, step, grad_scale,
        master, False,
    )  # fmt: skip


def sum_of_squares(x: Array) -> float:
    """The sum of the squares of all elements, in float64; the same at any thread count."""
    return backend_of(x).sum_of_squares(x)


def _step(param: Array, *arguments: Any) -> None:
    backend_of(param).adamw_step(param, *arguments)
