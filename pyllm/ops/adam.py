"""Adam and AdamW steps on flat buffers, in place."""

from pyllm.ops.backend import backend_of
from pyllm.ops.blockwise import Blockwise
from pyllm.ops.types import Array


def adam_step(
    param: Array,
    grad: Array,
    exp_avg: Array | Blockwise,
    exp_avg_sq: Array | Blockwise,
    *,
    lr: float,
    step: int,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    max_exp_avg_sq: Array | Blockwise | None = None,
    grad_scale: float = 1.0,
    master: Array | None = None,
    decoupled: bool = False,
) -> None:
    """One Adam update in place (Kingma and Ba, "Adam", 2015).

    Args:
        param: (n,), float32, float64, bfloat16 or float16, contiguous.
        grad: (n,), dtype of param, or float32.
        exp_avg, exp_avg_sq: (n,): the moments, float32 (float64 if param is), or all `Blockwise`.
        step: of this update, counted from 1.
        weight_decay: added to the gradient, times the parameter.
        max_exp_avg_sq: (n,), dtype of the moments: the largest second moment so far, which takes
            its place (AMSGrad: Reddi et al., "On the convergence of Adam and beyond", 2018).
        grad_scale: what the gradient is multiplied by first: below 1 to clip, negative to maximize.
        master: (n,), float32: the exact parameters where param is stored in 16 bits.
        decoupled: AdamW: the decay acts on the parameter directly.

    Raises:
        TypeError: a dtype that is not supported.
        ValueError: a shape that does not fit, a decay rate outside [0, 1), step below 1.
    """
    backend_of(param).adam_step(
        param, grad, exp_avg, exp_avg_sq, lr, beta1, beta2, eps, weight_decay, step,
        max_exp_avg_sq, grad_scale, master, decoupled,
    )  # fmt: skip


def adamw_step(
    param: Array,
    grad: Array,
    exp_avg: Array | Blockwise,
    exp_avg_sq: Array | Blockwise,
    *,
    lr: float,
    step: int,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    max_exp_avg_sq: Array | Blockwise | None = None,
    grad_scale: float = 1.0,
    master: Array | None = None,
) -> None:
    """One AdamW update in place (Loshchilov and Hutter, "Decoupled weight decay", 2019).

    Arguments and errors are those of `adam_step`.
    """
    backend_of(param).adam_step(
        param, grad, exp_avg, exp_avg_sq, lr, beta1, beta2, eps, weight_decay, step,
        max_exp_avg_sq, grad_scale, master, True,
    )  # fmt: skip
