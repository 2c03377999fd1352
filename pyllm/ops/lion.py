"""Lion steps on flat buffers, in place."""

from pyllm.ops.backend import backend_of
from pyllm.ops.blockwise import Blockwise
from pyllm.ops.types import Array


def lion_step(
    param: Array,
    grad: Array,
    exp_avg: Array | Blockwise,
    *,
    lr: float,
    beta1: float = 0.9,
    beta2: float = 0.99,
    weight_decay: float = 0.0,
    grad_scale: float = 1.0,
    master: Array | None = None,
) -> None:
    """One Lion update in place (Chen et al., "Symbolic discovery of optimization", 2023).

    p = p (1 - lr weight_decay) - lr sign(beta1 m + (1 - beta1) g), m = beta2 m + (1 - beta2) g.

    Args:
        param: (n,), float32, float64, bfloat16 or float16, contiguous.
        grad: (n,), dtype of param, or float32.
        exp_avg: (n,): the moment, float32 (float64 if param is), or `Blockwise`.
        grad_scale: what the gradient is multiplied by first: below 1 to clip, negative to maximize.
        master: (n,), float32: the exact parameters where param is stored in 16 bits.

    Raises:
        TypeError: a dtype that is not supported.
        ValueError: a shape that does not fit, a decay rate outside [0, 1).
    """
    backend_of(param).lion_step(
        param, grad, exp_avg, lr, beta1, beta2, weight_decay, grad_scale, master
    )
