"""Measures of rankings, a mean over queries. Rows come query by query, equal scores as they stand.

A query without a relevant row is counted as perfect, as XGBoost and LightGBM do.
"""

import numpy as np
from numpy.typing import NDArray

from pyllm.trees.objective import FloatArray, Labels


def _ranks(
    key: FloatArray, query: NDArray[np.int64], offset: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(rows in the order of their query and key, largest first; the rank of each from 0)."""
    order = np.lexsort((-key, query))
    return order, np.arange(len(key)) - offset[query]


def _queries(labels: Labels) -> tuple[NDArray[np.int64], NDArray[np.int64], FloatArray | None]:
    offset = labels.query_offset
    if offset is None:
        raise ValueError("group: ranking metrics need to know which rows are one query")
    filled = np.diff(offset) > 0
    weight = None if labels.weight is None else labels.weight[filled]
    offset = offset[np.append(True, filled)]
    query = np.repeat(np.arange(len(offset) - 1), np.diff(offset))
    return offset, query, weight


def ndcg(labels: Labels, response: FloatArray, k: int | None = None) -> float:
    """Normalised discounted cumulative gain of the k best (None: all), gains 2^relevance - 1."""
    offset, query, weight = _queries(labels)
    gain = np.exp2(labels.target.astype(np.float64)) - 1.0

    def dcg(key: FloatArray) -> FloatArray:
        order, rank = _ranks(key, query, offset)
        part = gain[order] / np.log2(2.0 + rank)
        if k is not None:
            part[rank >= k] = 0.0
        return np.add.reduceat(part, offset[:-1])

    got, best = dcg(response[0]), dcg(gain)
    each = np.divide(got, best, out=np.ones_like(got), where=best > 0)
    return float(np.average(each, weights=weight))


def average_precision(labels: Labels, response: FloatArray, k: int | None = None) -> float:
    """Mean average precision of the k best (None: all); relevant is a grade above 0."""
    offset, query, weight = _queries(labels)
    order, rank = _ranks(response[0], query, offset)
    hit = (labels.target[order] > 0).astype(np.float64)
    total = np.cumsum(hit)
    before = np.append(0.0, total)[offset[:-1]]
    part = hit * (total - before[query]) / (rank + 1.0)
    relevant = np.add.reduceat(hit, offset[:-1])
    if k is not None:
        part[rank >= k] = 0.0
        relevant = np.minimum(relevant, k)
    precision = np.add.reduceat(part, offset[:-1])
    each = np.divide(precision, relevant, out=np.ones_like(precision), where=relevant > 0)
    return float(np.average(each, weights=weight))
