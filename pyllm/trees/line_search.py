"""Classic gradient boosting: a least-squares tree on the gradients, then a line search per leaf.

Friedman, "Greedy function approximation: a gradient boosting machine" (2001), algorithm 1: the
tree is fitted to the negative gradients (pseudo-residuals); then every leaf gets the constant that
lowers the loss most. The constant is found by Newton's method in all leaves at once, which for
squared error is the mean, and for one step Friedman's formulas of the logistic losses. Leaves
where the loss falls for ever (all of one class) stop at a margin change of 4.
"""

import numpy as np
from numpy.typing import NDArray

from pyllm.trees.objective import FloatArray, Labels, Objective

_FARTHEST = 4.0
_STEPS = 10


def line_search(
    objective: Objective,
    margin: FloatArray,
    labels: Labels,
    output: int,
    leaf: NDArray[np.int32],
    nodes: int,
    multiplier: FloatArray | None,
    unbounded: bool,
) -> FloatArray:
    """(nodes,): the constant to add to `output` in each leaf.

    multiplier: (n,) how often each row counts (0 out of the bag), or None. unbounded: the loss is
    quadratic, its minimum may lie anywhere.
    """
    gradient = np.empty(margin.shape, np.float32)
    hessian = np.empty(margin.shape, np.float32)
    value = np.zeros(nodes)
    moved = margin.copy()
    for _ in range(1 if unbounded else _STEPS):
        objective.derivatives(moved, labels, gradient, hessian)
        g, h = gradient[output].astype(np.float64), hessian[output].astype(np.float64)
        if multiplier is not None:
            g, h = g * multiplier, h * multiplier
        slope = np.bincount(leaf, g, nodes)
        curvature = np.bincount(leaf, h, nodes)
        step = np.divide(-slope, curvature, out=np.zeros(nodes), where=curvature > 0)
        before = value
        value = value + step if unbounded else np.clip(value + step, -_FARTHEST, _FARTHEST)
        if np.max(np.abs(value - before)) <= 1e-6:
            break
        moved[output] = margin[output] + value[leaf]
    return value
