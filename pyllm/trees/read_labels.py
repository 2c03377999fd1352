"""y and weights as callers give them, checked before a loss sees them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyllm.trees.boost import EvalSet
from pyllm.trees.objective import FloatArray, Labels, Objective


def read_labels(
    y: Any, n_samples: int, weight: Any = None, query_offset: NDArray[np.int64] | None = None
) -> Labels:
    """Labels of so many rows.

    Raises:
        ValueError: y or weight of another shape, or weights below 0, not finite or all 0.
    """
    target = np.asarray(y)
    if target.ndim not in (1, 2) or target.shape[-1] != n_samples:
        raise ValueError(
            f"y: expected shape ({n_samples},), or (n_outputs, {n_samples}), got {target.shape}"
        )
    if weight is None:
        return Labels(target, None, query_offset)
    offset = None if query_offset is None else np.asarray(query_offset, np.int64)
    count = n_samples if offset is None else len(offset) - 1
    return Labels(target, _read_weight(weight, count), offset)


def _read_weight(weight: Any, count: int) -> FloatArray:
    array = np.ascontiguousarray(weight, np.float64)
    if array.shape != (count,):
        raise ValueError(f"weight: expected shape ({count},), got {array.shape}")
    if not (np.isfinite(array).all() and (array >= 0).all() and array.any()):
        raise ValueError("weight: expected finite numbers of 0 or more, not all 0")
    return array


def read_eval_sets(given: Mapping[str, Any], objective: Objective) -> list[EvalSet]:
    """Pairs (X, y) by name.

    Raises:
        TypeError: not a pair. ValueError: y does not fit X.
    """
    sets = []
    for name, pair in given.items():
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise TypeError(f"eval_sets: expected a pair (X, y) for {name!r}")
        X, y = pair
        rows = X.shape[0] if hasattr(X, "shape") else len(X)
        sets.append(EvalSet(name, X, objective.prepare(read_labels(y, rows))))
    return sets
