"""Stochastic gradient descent."""

from collections.abc import Iterable
from typing import Any

from pyllm import ops
from pyllm.nn.module import Parameter
from pyllm.optim.optimizer import Optimizer, Shard


class SGD(Optimizer):
    """Gradient descent with momentum, plain or Nesterov's (Sutskever et al. 2013).

    Args:
        params: parameters, or groups {"params": [...], "lr": ..., ...} with settings of their own.
        lr, momentum, dampening, weight_decay, nesterov: defaults of the groups, as in torch.
        state_bits: 32, or 8: the buffer in a byte an element, as in `Adam`.
        max_norm: the global norm that gradients are scaled down to if they exceed it.
        maximize: climb instead of descend.

    Raises:
        ValueError: a setting out of range, Nesterov without momentum or with dampening, a group
            without parameters, or a parameter in two.
    """

    def __init__(
        self,
        params: Iterable[Parameter] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        state_bits: int = 32,
        max_norm: float | None = None,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "state_bits": state_bits,
        }
        super().__init__(params, defaults, max_norm=max_norm, maximize=maximize)

    def _check(self, group: dict[str, Any]) -> None:
        super()._check(group)
        if not group["momentum"] >= 0:
            raise ValueError(f"momentum: expected at least 0, got {group['momentum']}")
        if group["nesterov"] and (not group["momentum"] or group["dampening"]):
            raise ValueError("nesterov: needs momentum, and no dampening")

    def _start_state(self, shard: Shard) -> None:
        if shard.group["momentum"]:
            shard.add_moment("momentum_buffer")

    def _update(self, shard: Shard, scale: float) -> None:
        group = shard.group
        ops.sgd_step(
            shard.flat.data,
            shard.flat.grad,
            shard.moment("momentum_buffer"),
            lr=group["lr"],
            momentum=group["momentum"],
            dampening=group["dampening"],
            weight_decay=group["weight_decay"],
            nesterov=group["nesterov"],
            first=self._step == 1,
            grad_scale=scale,
            master=shard.master,
        )
