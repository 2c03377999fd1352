"""Adam and AdamW."""

from collections.abc import Iterable
from typing import Any

from pyllm import ops
from pyllm.nn.module import Parameter
from pyllm.optim.optimizer import Optimizer, Shard


class Adam(Optimizer):
    """Adam (Kingma and Ba 2015).

    Args:
        params: parameters, or groups {"params": [...], "lr": ..., ...} with settings of their own.
        lr, betas, eps, weight_decay, amsgrad: defaults of the groups; the decay is added to the
            gradient. `amsgrad` divides by the largest second moment so far (Reddi et al. 2018).
        state_bits: 32, or 8: moments in a byte an element, in blocks that share a scale (Dettmers
            et al. 2022). Embeddings train more stably in a group of their own with 32.
        max_norm: the global norm that gradients are scaled down to if they exceed it.
        maximize: climb instead of descend.

    Raises:
        ValueError: a setting out of range, a group without parameters, or a parameter in two.
    """

    _decoupled = False

    def __init__(
        self,
        params: Iterable[Parameter] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        state_bits: int = 32,
        max_norm: float | None = None,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "state_bits": state_bits,
        }
        super().__init__(params, defaults, max_norm=max_norm, maximize=maximize)

    def _start_state(self, shard: Shard) -> None:
        shard.add_moment("exp_avg")
        shard.add_moment("exp_avg_sq")
        if shard.group["amsgrad"]:
            shard.add_moment("max_exp_avg_sq")

    def _update(self, shard: Shard, scale: float) -> None:
        group = shard.group
        ops.adam_step(
            shard.flat.data,
            shard.flat.grad,
            shard.moment("exp_avg"),
            shard.moment("exp_avg_sq"),
            lr=group["lr"],
            step=self._step,
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            eps=group["eps"],
            weight_decay=group["weight_decay"],
            max_exp_avg_sq=shard.moment("max_exp_avg_sq"),
            grad_scale=scale,
            master=shard.master,
            decoupled=self._decoupled,
        )


class AdamW(Adam):
    """AdamW (Loshchilov and Hutter 2019): Adam whose weight decay acts on the parameters."""

    _decoupled = True

    def __init__(
        self,
        params: Iterable[Parameter] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        state_bits: int = 32,
        max_norm: float | None = None,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            state_bits=state_bits,
            max_norm=max_norm,
            maximize=maximize,
        )
