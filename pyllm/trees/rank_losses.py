"""Losses of rankings: pairs within a query pull apart (LambdaRank).

Formulas and sources stand at the head of csrc/cpu/trees/ranking.cpp.
"""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from pyllm import _cpu
from pyllm.trees.objective import FloatArray, Labels, Objective


class RankLoss(Objective):
    """Base: targets are whole grades of relevance from 0 to 30, rows come query by query.

    Weights are one a query: rows of a query must have the same weight.
    """

    gain: ClassVar[str]

    def __init__(self, truncation: int = 30, sigmoid: float = 1.0, normalize: bool = True) -> None:
        if truncation < 1:
            raise ValueError(f"truncation: expected at least 1, got {truncation}")
        if not sigmoid > 0:
            raise ValueError(f"sigmoid: expected a positive number, got {sigmoid}")
        self.truncation, self.sigmoid, self.normalize = truncation, sigmoid, normalize

    def prepare(self, labels: Labels) -> Labels:
        target = np.ascontiguousarray(labels.target, np.int32)
        if target.ndim != 1 or not np.array_equal(target, labels.target):
            raise ValueError(f"y: {self.name} expects whole grades of relevance, one a row")
        if target.size and not (target.min() >= 0 and target.max() <= 30):
            raise ValueError(
                f"y: {self.name} expects grades from 0 to 30, got {target.min()} to {target.max()}"
            )
        offset = labels.query_offset
        if offset is None:
            raise ValueError(f"group: {self.name} needs to know which rows are one query")
        weight = labels.weight
        if weight is not None:
            starts = offset[:-1][np.diff(offset) > 0]
            low, high = np.minimum.reduceat(weight, starts), np.maximum.reduceat(weight, starts)
            if (low != high).any():
                raise ValueError("sample_weight: expected one weight for all rows of a query")
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
        weight = None
        if labels.weight is not None:
            weight = np.zeros(len(offset) - 1)
            filled = np.diff(offset) > 0
            weight[filled] = labels.weight[offset[:-1][filled]]
        _cpu.tree_rank_gradient(
            self.gain,
            margin[0],
            labels.target,
            offset,
            weight,
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
