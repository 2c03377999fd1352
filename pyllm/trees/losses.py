"""Objectives by name."""

from collections.abc import Callable
from typing import Any

from pyllm.trees.class_losses import OneVsAll, Softmax
from pyllm.trees.custom_loss import CustomLoss
from pyllm.trees.objective import Objective
from pyllm.trees.rank_losses import LambdaRank, RankMap
from pyllm.trees.row_losses import (
    AbsoluteError,
    CrossEntropy,
    Gamma,
    Huber,
    LogLoss,
    Poisson,
    QuantileError,
    SquaredError,
    Tweedie,
)

OBJECTIVES: dict[str, type[Objective]] = {
    kind.name: kind
    for kind in (
        SquaredError,
        AbsoluteError,
        Huber,
        QuantileError,
        Poisson,
        Gamma,
        Tweedie,
        LogLoss,
        CrossEntropy,
        Softmax,
        OneVsAll,
        LambdaRank,
        RankMap,
    )
}


# What the number after @ is, as in "quantile@0.9".
_NUMBERS: dict[str, tuple[str, Callable[[str], float]]] = {
    "quantile": ("level", float),
    "huber": ("delta", float),
    "tweedie": ("power", float),
    "lambdarank": ("truncation", int),
    "rank_map": ("truncation", int),
}


def make_objective(loss: str | Objective | Callable[..., Any], **options: Any) -> Objective:
    """The objective of this name; a function of the caller's becomes a `CustomLoss`.

    Names may carry a number: "quantile@0.9" the level, "huber@1.5" its delta, "tweedie@1.3" the
    variance power, "lambdarank@10" and "rank_map@10" the truncation.

    Raises:
        ValueError: no objective has this name, or a number or option is out of range.
        TypeError: neither a name, an Objective nor a function; or an option it does not have.
    """
    if isinstance(loss, Objective):
        return loss
    if callable(loss):
        return CustomLoss(loss, **options)
    if not isinstance(loss, str):
        raise TypeError(
            f"loss: expected a name, an Objective or a function, got {type(loss).__name__}"
        )
    name, at, number = loss.partition("@")
    if name not in OBJECTIVES or (at and name not in _NUMBERS):
        raise ValueError(f"loss: expected one of {', '.join(OBJECTIVES)}, got {loss!r}")
    if at:
        option, kind = _NUMBERS[name]
        try:
            options[option] = kind(number)
        except ValueError:
            raise ValueError(f"loss: expected a number after @ in {loss!r}") from None
    return OBJECTIVES[name](**options)
