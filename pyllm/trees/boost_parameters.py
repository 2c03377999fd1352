"""How trees are combined: the settings, checked."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from pyllm.trees.checks import require_number


@dataclass(frozen=True)
class BoostParameters:
    """How trees are combined; what a tree looks like stands in TreeParameters.

    learning_rate: a number, one for each round, or a function of the round (from 0).
    subsample: share of the rows each round draws, without replacement.
    sampling: "uniform", or "goss": all of the top_rate share with the largest gradients and
        other_rate of the rest, scaled up to stand for all of the rest.
    booster: "gbtree", or "dart": each round first drops trees at random (see `Dart`).
    multi_output: "per_output" grows a tree for each output, "vector" one with a value an output.
    first_order: Friedman's classic boosting (see `line_search`) instead of second order.
    """

    learning_rate: float | Sequence[float] | Callable[[int], float] = 0.1
    subsample: float = 1.0
    sampling: Literal["uniform", "goss"] = "uniform"
    top_rate: float = 0.2
    other_rate: float = 0.1
    booster: Literal["gbtree", "dart"] = "gbtree"
    rate_drop: float = 0.1
    skip_drop: float = 0.5
    one_drop: bool = False
    normalize_type: Literal["tree", "forest"] = "tree"
    sample_type: Literal["uniform", "weighted"] = "uniform"
    multi_output: Literal["per_output", "vector"] = "per_output"
    first_order: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        rate = self.learning_rate
        if not callable(rate) and np.ndim(rate) != 1:
            require_number("learning_rate", rate)
            if not rate > 0:  # type: ignore[operator]
                raise ValueError(f"learning_rate: expected a positive number, got {rate!r}")
        _within("subsample", self.subsample, 0, 1, open_low=True)
        _within("top_rate", self.top_rate, 0, 1)
        _within("other_rate", self.other_rate, 0, 1 - self.top_rate, open_low=True)
        _within("rate_drop", self.rate_drop, 0, 1)
        _within("skip_drop", self.skip_drop, 0, 1)
        _one_of("sampling", self.sampling, ("uniform", "goss"))
        _one_of("booster", self.booster, ("gbtree", "dart"))
        _one_of("normalize_type", self.normalize_type, ("tree", "forest"))
        _one_of("sample_type", self.sample_type, ("uniform", "weighted"))
        _one_of("multi_output", self.multi_output, ("per_output", "vector"))
        if self.sampling == "goss" and self.subsample != 1.0:
            raise ValueError("subsample: expected 1 with sampling='goss', which draws its own rows")

    def rate(self, round: int) -> float:
        """The learning rate of a round."""
        given = self.learning_rate
        if callable(given):
            value = given(round)
        elif isinstance(given, (int, float)):
            value = given
        else:
            if round >= len(given):
                raise ValueError(
                    f"learning_rate: expected one for each round, got {len(given)} for round "
                    f"{round + 1}"
                )
            value = given[round]
        if not value > 0:
            raise ValueError(f"learning_rate: expected a positive number, got {value} in {round}")
        return float(value)


def _within(name: str, value: float, low: float, high: float, open_low: bool = False) -> None:
    require_number(name, value)
    if not (low < value <= high or (value == low and not open_low)):
        raise ValueError(
            f"{name}: expected {low} {'<' if open_low else '<='} {name} <= {high}, got {value}"
        )


def _one_of(name: str, value: Any, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise ValueError(f"{name}: expected one of {', '.join(allowed)}, got {value!r}")
