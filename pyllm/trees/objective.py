"""What boosting minimises: the derivatives of a loss, where it starts, and what margins mean.

Margins are (n_outputs, n) float64, a contiguous row for each output, since every output has trees
of its own; derivatives have the same shape in float32. All built-in derivatives are C++ kernels
with the same bits at any thread count and on any instruction set.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from pyllm import _cpu

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Labels:
    """What the rows should give: checked, contiguous, as the kernels read it.

    target: (n,), or (n_outputs, n) for losses of several regression targets.
    weight: (n,), for ranking (queries,), or None for all ones; not negative.
    query_offset: (queries + 1,) int64 for ranking: query q is rows [offset[q], offset[q + 1]).
    """

    target: NDArray
    weight: FloatArray | None = None
    query_offset: NDArray[np.int64] | None = None

    @property
    def n_samples(self) -> int:
        return self.target.shape[-1]

    @property
    def row_weight(self) -> FloatArray | None:
        """(n,): a row of a query has the query's weight."""
        if self.weight is None or self.query_offset is None:
            return self.weight
        return np.repeat(self.weight, np.diff(self.query_offset))


# Inverse links by name.
Link = Literal["identity", "exp", "sigmoid", "softmax", "one_vs_all"]


class Objective(ABC):
    """A loss to boost.

    name: how it is asked for. metric: what measures it on validation rows unless told otherwise.
    renews_leaves: the values of leaves are found anew from the residuals in them, since one Newton
    step is poor where the second derivative is 0. link: what response() computes, for models in
    other runtimes; a class that overrides response() without saying so cannot be exported.
    on_device: derivatives() takes arrays of a CUDA device too; others are computed on the CPU.
    """

    name: ClassVar[str]
    metric: str
    n_outputs: int = 1
    renews_leaves: bool = False
    link: Link | None = None
    on_device: ClassVar[bool] = False

    def prepare(self, labels: Labels) -> Labels:
        """The labels checked and in the dtype the kernels read; ValueError names what is wrong."""
        return labels

    @abstractmethod
    def initial_margin(self, labels: Labels) -> FloatArray:
        """(n_outputs,): the best constant margin."""

    @abstractmethod
    def derivatives(
        self,
        margin: FloatArray,
        labels: Labels,
        gradient: NDArray[np.float32],
        hessian: NDArray[np.float32],
    ) -> None:
        """Writes weight times the derivatives of the loss at `margin` into the two arrays."""

    def renew(
        self,
        margin: FloatArray,
        labels: Labels,
        output: int,
        leaf: NDArray[np.int32],
        nodes: int,
        weight: FloatArray | None,
        rows: NDArray[np.int32] | None,
    ) -> FloatArray:
        """(nodes,): the best constant of each leaf on top of the margins, where renews_leaves."""
        raise NotImplementedError(f"{self.name} does not renew leaves")

    def response(self, margin: FloatArray) -> FloatArray:
        """The prediction that margins (n_outputs, n) stand for: the inverse link."""
        return margin


def weighted_mean(values: FloatArray, weight: FloatArray | None) -> float:
    if weight is None:
        return float(np.mean(values))
    return float(np.sum(values * weight) / np.sum(weight))


def weighted_quantile(values: FloatArray, weight: FloatArray | None, level: float) -> float:
    """The smallest value with at least `level` of the weight at or below it.

    Where it holds exactly that share, the mean with the next value: the median for level 1/2. A
    weight of 2 is the same as the row twice.
    """
    leaf = np.zeros(len(values), np.int32)
    return float(_cpu.tree_leaf_quantiles(values, leaf, 1, level, weight)[0])


def start_at(*margins: float) -> FloatArray:
    """Margins to start from, rounded to float32: the last bits of a mean depend on the machine."""
    return np.array(margins, np.float32).astype(np.float64)


def link_of(objective: Objective) -> Link:
    """What `objective.response` computes, by name.

    Raises:
        ValueError: a response of its own, without a name.
    """
    if objective.link is not None:
        return objective.link
    if type(objective).response is not Objective.response:
        raise ValueError(f"loss: {objective.name} does not say what its response is (link)")
    return "identity"
