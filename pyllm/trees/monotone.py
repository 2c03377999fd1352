"""Monotone trees whose leaf values were not found by the engine, which bounds its own."""

from collections.abc import Sequence

import numpy as np

from pyllm.trees.tree import Tree


def bound_values(tree: Tree, signs: Sequence[int]) -> None:
    """Clips the values so that they rise (1) or fall (-1) with each feature of such a sign.

    What lies left of a split on such a feature ends at the middle between its two children, where
    what lies right of it starts, as in growing.
    """
    value, sign_of = tree.value, np.asarray(signs)
    low, high = np.full(value.shape, -np.inf), np.full(value.shape, np.inf)
    level = np.zeros(1, np.int64)
    while len(level):
        value[level] = np.clip(value[level], low[level], high[level])
        level = level[tree.feature[level] >= 0]
        left, right = tree.left[level], tree.right[level]
        for child in (left, right):
            low[child], high[child] = low[level], high[level]
        inside = [np.clip(value[child], low[level], high[level]) for child in (left, right)]
        middle = (inside[0] + inside[1]) / 2
        sign = sign_of[tree.feature[level]]
        bound = sign != 0
        high[np.where(sign > 0, left, right)[bound]] = middle[bound]
        low[np.where(sign > 0, right, left)[bound]] = middle[bound]
        level = np.concatenate([left, right])
