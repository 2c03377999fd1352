"""Losses of rankings: pairs within a query pull apart (LambdaRank).

Formulas and sources stand at the head of csrc/cpu/trees/ranking.cpp.
"""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from pyllm import _cpu
from pyllm.trees.objective import FloatArray, Labels, Objective


class RankLoss(Objective):
    """Base: targets are grades of relevance from 0 to 60, rows come query by query.

    Weights are one a query.
    """

    gain: ClassVar[str]

    def __init__(self, truncation: int = 30, sigmoid: float = 1.0, normalize: bool = True) -> None:
        if truncation < 1:
            raise ValueError(f"truncation: expected at least 1, got {truncation}")
        if not sigmoid > 0:
            raise ValueError(f"sigmoid: expected a positive number, got {sigmoid}")
        self.truncation, self.sigmoid, self.normalize = truncation, sigmoid, normalize

    def prepare(self, labels: Labels) -> Labels:
        target = np.ascontiguousarray(labels.target, np.float64)
        if target.ndim != 1:
            raise ValueError(f"y: {self.name} expects one grade a row, got shape {target.shape}")
        bad = ~((target >= 0) & (target <= 60))
        if bad.any():
            raise ValueError(
                f"y: {self.name} expects grades from 0 to 60, got {target[bad][0]} at row "
                f"{np.flatnonzero(bad)[0]}"
            )
        offset = labels.query_offset
        if offset is None:
            raise ValueError(f"group: {self.name} needs to know which rows are one query")
        weight = labels.weight
        if weight is not None and weight.shape != (len(offset) - 1,):
            raise ValueError(
                f"query_weight: expected one for each of {len(offset) - 1} queries, got shape "
                f"{weight.shape}"
            )
        return Labels(target, weight, offset)

    def initial_margin(self, labels: Labels) -> FloatArray:
        return np.zeros(1)

    def derivatives(
        self,
        margin: FloatArray,
        labels: Labels,
        gradient: NDArray[np.float32],
        hessian: NDArray[np.float32],
    ) -> None:
        offset = labels.query_offset
        assert offset is not None  # prepare() has seen to it
        _cpu.tree_rank_gradient(
            self.gain,
            margin[0],
            labels.target,
            offset,
            labels.weight,
            gradient[0],
            hessian[0],
            self.sigmoid,
            self.truncation,
            self.normalize,
        )


class LambdaRank(RankLoss):
    """Pairs weigh by the change of NDCG when they swap places."""

    name = "lambdarank"
    gain = "ndcg"
    metric = "ndcg"


class RankMap(RankLoss):
    """Pairs weigh by the change of average precision; grades above 0 are relevant."""

    name = "rank_map"
    gain = "map"
    metric = "map"
