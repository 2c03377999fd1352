"""Adafactor."""

import math
from collections.abc import Callable, Iterable
from typing import Any

from pyllm import ops
from pyllm.autograd.arrays import zeros
from pyllm.nn.module import Parameter
from pyllm.ops.types import Array
from pyllm.optim.optimizer import Optimizer, Shard, zeros_beside


class Adafactor(Optimizer):
    """Adafactor (Shazeer and Stern 2018): Adam's second moment as a product of rows and columns.

    A matrix keeps rows + columns numbers instead of rows * columns, vectors keep them all.

    Args:
        params: parameters, or groups {"params": [...], "lr": ..., ...} with settings of their own.
        lr: None for the paper's min(0.01, 1 / sqrt(step)), which rises from 1e-6 a step with
            `warmup_init`.
        eps: added to the squared gradient; the least rms of a parameter.
        clip_threshold: the most that the rms of an update may be.
        decay_rate: the second moment decays by 1 - step ** decay_rate.
        beta1: decay of a first moment; None keeps none.
        weight_decay: acts on the parameters, times the rate.
        scale_parameter: multiply the rate by the rms of each parameter.
        warmup_init: with lr None only.
        max_norm: the global norm that gradients are scaled down to if they exceed it.
        maximize: climb instead of descend.

    Raises:
        ValueError: a setting out of range, a group without parameters, or a parameter in two.
    """

    def __init__(
        self,
        params: Iterable[Parameter] | Iterable[dict[str, Any]],
        lr: float | None = None,
        eps: tuple[float, float] = (1e-30, 1e-3),
        clip_threshold: float = 1.0,
        decay_rate: float = -0.8,
        beta1: float | None = None,
        weight_decay: float = 0.0,
        scale_parameter: bool = True,
        warmup_init: bool = False,
        *,
        max_norm: float | None = None,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "eps": eps,
            "clip_threshold": clip_threshold,
            "decay_rate": decay_rate,
            "beta1": beta1,
            "weight_decay": weight_decay,
            "scale_parameter": scale_parameter,
            "warmup_init": warmup_init,
        }
        super().__init__(params, defaults, max_norm=max_norm, maximize=maximize)

    def _check(self, group: dict[str, Any]) -> None:
        super()._check({**group, "lr": group["lr"] or 0.0})
        if group["lr"] is not None and group["warmup_init"]:
            raise ValueError("warmup_init: only for the relative rate, lr=None")
        if not group["decay_rate"] <= 0:
            raise ValueError(f"decay_rate: expected at most 0, got {group['decay_rate']}")

    def _start_state(self, shard: Shard) -> None:
        rows = cols = vectors = 0
        for p in shard.params:
            if p.ndim < 2:
                vectors += p.size
            else:
                rows += math.prod(p.shape[:-1])
                cols += math.prod(p.shape[:-2]) * p.shape[-1]
        like = zeros_beside(shard.flat)
        sizes = {"exp_avg_sq_row": rows, "exp_avg_sq_col": cols, "exp_avg_sq": vectors}
        shard.state.update({name: zeros((n,), like.dtype, like) for name, n in sizes.items()})
        if shard.group["beta1"] is not None:
            shard.state["exp_avg"] = like

    def _update(self, shard: Shard, scale: float) -> None:
        group, state = shard.group, shard.state
        lr = group["lr"]
        if lr is None:
            highest = 1e-6 * self._step if group["warmup_init"] else 1e-2
            lr = min(highest, self._step**-0.5)
        take = {name: _pieces(array) for name, array in state.items()}
        take["grad"] = _pieces(shard.flat.grad)
        for parameter in shard.params:
            shape = parameter.shape
            if parameter.ndim < 2:
                second = {"exp_avg_sq": take["exp_avg_sq"](shape)}
            else:
                second = {
                    "exp_avg_sq_row": take["exp_avg_sq_row"](shape[:-1]),
                    "exp_avg_sq_col": take["exp_avg_sq_col"]((*shape[:-2], shape[-1])),
                }
            ops.adafactor_step(
                parameter.data,
                take["grad"](shape),
                **second,
                lr=lr,
                beta2=1.0 - self._step ** group["decay_rate"],
                exp_avg=take["exp_avg"](shape) if "exp_avg" in state else None,
                beta1=group["beta1"] or 0.0,
                eps=group["eps"],
                clip_threshold=group["clip_threshold"],
                weight_decay=group["weight_decay"],
                scale_parameter=group["scale_parameter"],
                grad_scale=scale,
                master=take["master"](shape) if "master" in state else None,
            )


def _pieces(flat: Array) -> Callable[[tuple[int, ...]], Array]:
    """A function that gives the next piece of a flat array, in the shape it is asked for."""
    start = 0

    def next_piece(shape: tuple[int, ...]) -> Array:
        nonlocal start
        piece = flat[start : start + math.prod(shape)]
        start += piece.size
        return piece.reshape(shape)

    return next_piece
