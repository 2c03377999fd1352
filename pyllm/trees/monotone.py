"""Monotone trees whose leaf values were not found by the engine, which bounds its own."""

from collections.abc import Sequence

import numpy as np

from pyllm.trees.tree import Tree


def bound_values(tree: Tree, signs: Sequence[int]) -> None:
    """Clips the values so that they rise (1) or fall (-1) with each feature of such a sign.

    What lies left of a split on such a feature ends at the middle between its two children, where
    what lies right of it starts, as in growing.
    """
    low = np.full(tree.value.shape, -np.inf)
    high = np.full(tree.value.shape, np.inf)
    value = tree.value
    for node in range(tree.n_nodes):  # children come after their parent
        value[node] = np.clip(value[node], low[node], high[node])
        feature = tree.feature[node]
        if feature < 0:
            continue
        left, right = tree.left[node], tree.right[node]
        for child in (left, right):
            low[child], high[child] = low[node], high[node]
        sign = signs[feature]
        if sign == 0:
            continue
        inside = [np.clip(value[child], low[node], high[node]) for child in (left, right)]
        middle = (inside[0] + inside[1]) / 2
        below, above = (left, right) if sign > 0 else (right, left)
        high[below] = middle
        low[above] = middle
