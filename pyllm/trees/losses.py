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


def make_objective(loss: str | Objective | Callable[..., Any], **options: Any) -> Objective:
    """The objective of this name; a function of the caller's becomes a `CustomLoss`.

    Raises:
        ValueError: no objective has this name, or an option is out of range.
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
    if loss not in OBJECTIVES:
        raise ValueError(f"loss: expected one of {', '.join(OBJECTIVES)}, got {loss!r}")
    return OBJECTIVES[loss](**options)
