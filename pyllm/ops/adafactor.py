"""Adafactor steps, in place."""

from pyllm.ops.backend import backend_of
from pyllm.ops.types import Array


def adafactor_step(
    param: Array,
    grad: Array,
    exp_avg_sq_row: Array | None = None,
    exp_avg_sq_col: Array | None = None,
    *,
    lr: float,
    beta2: float,
    exp_avg_sq: Array | None = None,
    exp_avg: Array | None = None,
    beta1: float = 0.0,
    eps: tuple[float, float] = (1e-30, 1e-3),
    clip_threshold: float = 1.0,
    weight_decay: float = 0.0,
    scale_parameter: bool = True,
    grad_scale: float = 1.0,
    master: Array | None = None,
) -> None:
    """One Adafactor update of one parameter in place (Shazeer and Stern, "Adafactor", 2018).

    Args:
        param: (..., rows, columns), or (n,) and others with `exp_avg_sq`; float32, float64,
            bfloat16 or float16, contiguous.
        grad: as param, dtype of param or float32.
        exp_avg_sq_row, exp_avg_sq_col: (..., rows) and (..., columns): the factors of the second
            moment, float32 (float64 if param is).
        lr: multiplied by rms(param), or eps[1] if that is more, where `scale_parameter`.
        beta2: decay of the second moment at this step, usually 1 - step ** -0.8.
        exp_avg_sq: as param: the whole second moment, in place of its factors.
        exp_avg: as param: the first moment of the updates, which decays by `beta1`.
        eps: added to the squared gradient; the least rms of a parameter.
        clip_threshold: the most that the rms of an update may be.
        grad_scale: what the gradient is multiplied by first: below 1 to clip, negative to maximize.
        master: as param, float32: the exact parameters where param is stored in 16 bits.

    Raises:
        TypeError: a dtype that is not supported.
        ValueError: a shape that does not fit, a decay rate outside [0, 1).
    """
    backend_of(param).adafactor_step(
        param, grad, exp_avg_sq_row, exp_avg_sq_col, exp_avg_sq, exp_avg, lr, beta1, beta2, eps[0],
        eps[1], clip_threshold, weight_decay, scale_parameter, grad_scale, master,
    )  # fmt: skip
