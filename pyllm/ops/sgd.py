"""Stochastic gradient descent on flat buffers, in place."""

from pyllm.ops.backend import backend_of
from pyllm.ops.blockwise import Blockwise
from pyllm.ops.types import Array


def sgd_step(
    param: Array,
    grad: Array,
    momentum_buffer: Array | Blockwise | None = None,
    *,
    lr: float,
    momentum: float = 0.0,
    dampening: float = 0.0,
    weight_decay: float = 0.0,
    nesterov: bool = False,
    first: bool = False,
    grad_scale: float = 1.0,
    master: Array | None = None,
) -> None:
    """One step of gradient descent with momentum in place, as torch defines it.

    b = momentum b + (1 - dampening) g; p = p - lr b, or with Nesterov's momentum (Sutskever et al.,
    "On the importance of initialization and momentum", 2013) p = p - lr (g + momentum b).

    Args:
        param: (n,), float32, float64, bfloat16 or float16, contiguous.
        grad: (n,), dtype of param, or float32.
        momentum_buffer: (n,), float32 (float64 if param is), or `Blockwise`; None without momentum.
        weight_decay: added to the gradient, times the parameter.
        first: of the steps: the buffer becomes the gradient, whatever it holds.
        grad_scale: what the gradient is multiplied by first: below 1 to clip, negative to maximize.
        master: (n,), float32: the exact parameters where param is stored in 16 bits.

    Raises:
        TypeError: a dtype that is not supported.
        ValueError: a shape that does not fit, momentum without a buffer.
    """
    backend_of(param).sgd_step(
        param, grad, momentum_buffer, lr, momentum, dampening, weight_decay, nesterov, first,
        grad_scale, master,
    )  # fmt: skip
