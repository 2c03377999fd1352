"""Lion."""

from collections.abc import Iterable
from typing import Any

from pyllm import ops
from pyllm.nn.module import Parameter
from pyllm.optim.optimizer import Optimizer, Shard


class Lion(Optimizer):
    """Lion (Chen et al. 2023): the sign of an interpolated moment; half of Adam's state.

    Args:
        params: parameters, or groups {"params": [...], "lr": ..., ...} with settings of their own.
        lr, betas, weight_decay: defaults of the groups. The paper advises a rate 3 to 10 times
            smaller than AdamW's, and as much more decay.
        state_bits: 32, or 8: the moment in a byte an element, as in `Adam`.
        max_norm: the global norm that gradients are scaled down to if they exceed it.
        maximize: climb instead of descend.

    Raises:
        ValueError: a setting out of range, a group without parameters, or a parameter in two.
    """

    def __init__(
        self,
        params: Iterable[Parameter] | Iterable[dict[str, Any]],
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
        *,
        state_bits: int = 32,
        max_norm: float | None = None,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "weight_decay": weight_decay,
            "state_bits": state_bits,
        }
        super().__init__(params, defaults, max_norm=max_norm, maximize=maximize)

    def _start_state(self, shard: Shard) -> None:
        shard.add_moment("exp_avg")

    def _update(self, shard: Shard, scale: float) -> None:
        group = shard.group
        ops.lion_step(
            shard.flat.data,
            shard.flat.grad,
            shard.moment("exp_avg"),
            lr=group["lr"],
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            weight_decay=group["weight_decay"],
            grad_scale=scale,
            master=shard.master,
        )
