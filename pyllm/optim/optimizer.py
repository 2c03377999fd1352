"""What all optimizers share: parameter groups over flat buffers, clipping, state.

The parameters of each group become views of one flat array (one for each dtype in the group), their
gradients views of another, so a step is one pass over each. 16-bit parameters keep an exact float32
copy beside them. Clipping costs one read of the gradients: the update itself scales them.

With `state_bits=8` the moments take a byte an element (`ops.quantize_blockwise`), but those of
small parameters (biases, norms), which would save nothing, and of float64 ones. Blocks do not cross
parameters.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from pyllm import ops
from pyllm.autograd.arrays import FLOAT32, zeros
from pyllm.nn.module import FlatParameters, Parameter
from pyllm.ops.blockwise import BLOCK, Blockwise
from pyllm.ops.types import Array

SMALL = 4096  # elements: parameters below keep full states, as in bitsandbytes


@dataclass
class Shard:
    """The parameters of one group and dtype: their flat arrays, and what the optimizer keeps.

    Attributes:
        state_bits: 8 or 32: how moments are stored.
        state: arrays by name; a moment of 8 bits is two, NAME and NAME_scale.
    """

    group: dict[str, Any]
    params: list[Parameter]
    flat: FlatParameters
    state_bits: int
    state: dict[str, Array]

    def add_moment(self, name: str) -> None:
        """Start a moment of the parameters at zero."""
        n = self.flat.data.size
        if self.state_bits == 8:
            self.state[name] = zeros((n,), np.dtype(np.uint8), self.flat.data)
            self.state[f"{name}_scale"] = zeros((-(-n // BLOCK),), FLOAT32, self.flat.data)
        else:
            self.state[name] = zeros_beside(self.flat)

    def moment(self, name: str) -> Array | Blockwise | None:
        """The moment as the step takes it; None if there is none."""
        values, scale = self.state.get(name), self.state.get(f"{name}_scale")
        return values if scale is None else Blockwise(values, scale)

    @property
    def master(self) -> Array | None:
        return self.state.get("master")


class Optimizer:
    """Base of the optimizers.

    Attributes:
        param_groups: the groups, each a dict with "params" and its settings; change "lr" (or any
            other setting) there between steps.
    """

    def __init__(
        self,
        params: Iterable[Parameter] | Iterable[dict[str, Any]],
        defaults: dict[str, Any],
        *,
        max_norm: float | None = None,
        maximize: bool = False,
    ) -> None:
        if max_norm is not None and not max_norm > 0:
            raise ValueError(f"max_norm: expected a positive number, got {max_norm}")
        self._defaults = defaults
        self.max_norm = max_norm
        self.maximize = maximize
        self.param_groups: list[dict[str, Any]] = []
        self._step = 0
        self._shards: list[Shard] = []
        given = list(params)
        groups: list[Any] = given if given and isinstance(given[0], dict) else [{"params": given}]
        for group in groups:
            self.add_param_group(group)

    def add_param_group(self, group: dict[str, Any]) -> None:
        """Optimize more parameters: {"params": [...], "lr": ..., ...}, the rest by default.

        Raises:
            ValueError: no parameters, one that is there already, or a setting that does not exist.
        """
        params = list(group["params"])
        known = {id(p) for g in self.param_groups for p in g["params"]}
        new = {id(p) for p in params}
        if not params or len(new) != len(params) or new & known:
            raise ValueError("params: expected each parameter once, and at least one a group")
        if unknown := set(group) - {"params"} - set(self._defaults):
            raise ValueError(
                f"group: no setting {', '.join(sorted(unknown))}; there are "
                f"{', '.join(sorted(self._defaults))}"
            )
        full = {**self._defaults, **group, "params": params}
        self._check(full)
        self.param_groups.append(full)
        alike: dict[Any, list[Parameter]] = {}
        for parameter in params:
            can_be_small = parameter.size >= SMALL and parameter.dtype != np.float64
            bits = full.get("state_bits", 32) if can_be_small else 32
            alike.setdefault((parameter.dtype, bits), []).append(parameter)
        for (_, bits), members in alike.items():
            flat = FlatParameters(members, align=BLOCK if bits == 8 else 1)
            shard = Shard(full, members, flat, bits, {})
            self._start_state(shard)
            if shard.flat.data.dtype.itemsize == 2:
                shard.state["master"] = shard.flat.data.astype(np.float32)
            self._shards.append(shard)

    def zero_grad(self) -> None:
        """Forget all gradients; the buffers stay."""
        for shard in self._shards:
            for parameter in shard.params:
                parameter.zero_grad()

    def step(self) -> float:
        """Update the parameters; the global norm of the gradients before clipping."""
        for shard in self._shards:
            shard.flat.complete(shard.params)
        norm = math.sqrt(sum(ops.sum_of_squares(shard.flat.grad) for shard in self._shards))
        scale = -1.0 if self.maximize else 1.0
        if self.max_norm is not None and norm > self.max_norm:
            scale *= self.max_norm / (norm + 1e-6)
        self._step += 1
        for shard in self._shards:
            self._update(shard, scale)
            for parameter in shard.params:
                parameter.mark_changed()
        return norm

    @property
    def state_nbytes(self) -> int:
        """Bytes of memory in states, exact copies of 16-bit parameters included."""
        return sum(array.nbytes for shard in self._shards for array in shard.state.values())

    def state_dict(self) -> dict[str, Any]:
        """All that the next step depends on, but the parameters and their gradients."""
        settings = [{k: v for k, v in g.items() if k != "params"} for g in self.param_groups]
        return {"step": self._step, "groups": settings, "states": [s.state for s in self._shards]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a `state_dict`.

        Raises:
            ValueError: it belongs to other parameters; nothing was changed then.
        """
        theirs, groups = state["states"], state["groups"]
        if len(theirs) != len(self._shards) or len(groups) != len(self.param_groups):
            raise ValueError(
                f"state: {len(groups)} groups do not fit these {len(self.param_groups)}"
            )
        for shard, other in zip(self._shards, theirs, strict=True):
            for name, array in shard.state.items():
                there = other.get(name)
                if there is None or (there.shape, there.dtype) != (array.shape, array.dtype):
                    raise ValueError(f"state: {name} does not fit these parameters")
        for shard, other in zip(self._shards, theirs, strict=True):
            for name, array in shard.state.items():
                array[...] = other[name]
        for group, settings in zip(self.param_groups, groups, strict=True):
            group.update(settings)
        self._step = state["step"]

    def _check(self, group: dict[str, Any]) -> None:
        """Raise ValueError for settings that make no sense."""
        for name in ("lr", "weight_decay"):
            if not group[name] >= 0:
                raise ValueError(f"{name}: expected a number of at least 0, got {group[name]}")
        if group.get("state_bits", 32) not in (8, 32):
            raise ValueError(f"state_bits: expected 8 or 32, got {group['state_bits']}")

    def _start_state(self, shard: Shard) -> None:
        """Make what this optimizer keeps about a shard."""
        raise NotImplementedError

    def _update(self, shard: Shard, scale: float) -> None:
        """One step of a shard, its gradients multiplied by `scale`."""
        raise NotImplementedError


def zeros_beside(flat: FlatParameters) -> Array:
    """A state as long as the parameters, in the type they are computed in."""
    wide = flat.data.dtype if flat.data.dtype == np.float64 else FLOAT32
    return zeros(flat.data.shape, wide, flat.data)
