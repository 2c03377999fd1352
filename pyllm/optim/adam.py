"""Adam and AdamW over flat parameter buffers.

The parameters of each group become views of one flat array, their gradients views of another, so a
step is one pass over each group. bfloat16 parameters keep an exact float32 copy beside them.
"""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from pyllm import ops
from pyllm.nn.module import FlatParameters, Parameter


class Adam:
    """Adam (Kingma and Ba 2015).

    Args:
        params: parameters, or groups {"params": [...], "lr": ..., ...} with settings of their own.
        lr, betas, eps, weight_decay: defaults of the groups.
        max_norm: the global norm that gradients are scaled down to if they exceed it.

    Attributes:
        param_groups: the groups; change "lr" there between steps.

    Raises:
        ValueError: a group without parameters, or a parameter in two groups.
    """

    _update = staticmethod(ops.adam_step)

    def __init__(
        self,
        params: Iterable[Parameter] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        max_norm: float | None = None,
    ) -> None:
        given = list(params)
        groups: list[Any] = given if given and isinstance(given[0], dict) else [{"params": given}]
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        self.param_groups: list[dict[str, Any]] = [{**defaults, **group} for group in groups]
        every = [id(p) for group in self.param_groups for p in group["params"]]
        if len(set(every)) != len(every) or not all(g["params"] for g in self.param_groups):
            raise ValueError("params: expected each parameter once, and at least one a group")
        self.max_norm = max_norm
        self._step = 0
        self._flats = [FlatParameters(group["params"]) for group in self.param_groups]
        self._states = [_state_for(flat) for flat in self._flats]

    def zero_grad(self) -> None:
        """Forget all gradients; the buffers stay."""
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.zero_grad()

    def step(self) -> float:
        """Update the parameters; the global norm of the gradients before clipping."""
        for group, flat in zip(self.param_groups, self._flats, strict=True):
            flat.complete(group["params"])
        norm = math.sqrt(sum(ops.sum_of_squares(flat.grad) for flat in self._flats))
        scale = 1.0
        if self.max_norm is not None and norm > self.max_norm:
            scale = self.max_norm / (norm + 1e-6)
        self._step += 1
        for group, flat, state in zip(self.param_groups, self._flats, self._states, strict=True):
            self._update(
                flat.data,
                flat.grad,
                state["exp_avg"],
                state["exp_avg_sq"],
                lr=group["lr"],
                step=self._step,
                beta1=group["betas"][0],
                beta2=group["betas"][1],
                eps=group["eps"],
                weight_decay=group["weight_decay"],
                grad_scale=scale,
                master=state.get("master"),
            )
        return norm

    def state_dict(self) -> dict[str, Any]:
        """All that the next step depends on, but the parameters and their gradients."""
        return {"step": self._step, "states": self._states}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a `state_dict`.

        Raises:
            ValueError: it belongs to other parameters.
        """
        for mine, theirs in zip(self._states, state["states"], strict=True):
            for name, array in mine.items():
                if name not in theirs or theirs[name].shape != array.shape:
                    raise ValueError(f"state: {name} does not fit these parameters")
                array[...] = theirs[name]
        self._step = state["step"]


class AdamW(Adam):
    """AdamW (Loshchilov and Hutter 2019): weight decay acts on the parameters directly."""

    _update = staticmethod(ops.adamw_step)


def _state_for(flat: FlatParameters) -> dict[str, np.ndarray]:
    state = {
        "exp_avg": np.zeros(flat.data.shape, np.float32),
        "exp_avg_sq": np.zeros(flat.data.shape, np.float32),
    }
    if flat.data.dtype != np.float32:
        state["master"] = flat.data.astype(np.float32)
    return state
