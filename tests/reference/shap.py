"""Shapley values by their definition: every subset of the features."""

from itertools import combinations
from math import factorial

import numpy as np

from tests.reference import forest as reference


def expected_value(forest, tree, row, known, weights):
    """Mean leaf of a tree (a vector over outputs) where only the features in `known` are known."""
    first = int(forest.tree_offset[tree])
    alone = forest[tree : tree + 1]

    def mean(node):
        at = first + node
        if forest.feature[at] < 0:
            value = np.zeros(forest.n_outputs)
            output = forest.tree_output[tree]
            value[slice(None) if output < 0 else output] = (
                forest.value[at] if output < 0 else forest.value[at, 0]
            )
            return value
        left, right = int(forest.left[at]), int(forest.right[at])
        if forest.feature[at] in known:
            return mean(left if goes_left(alone, row, node) else right)
        wl, wr = weights[first + left], weights[first + right]
        share = wl / (wl + wr) if wl + wr > 0 else 0.5
        return share * mean(left) + (1 - share) * mean(right)

    return mean(0)


def goes_left(alone, row, node):
    """Does `row` go left at `node` of a forest of one tree? By the reference's own walk."""
    stump = alone.tree(0)
    keep = [node, int(stump.left[node]), int(stump.right[node])]
    from pyllm.trees import Forest, Tree

    cut = Tree(
        feature=[stump.feature[node], -1, -1],
        threshold=[stump.threshold[node], 0, 0],
        left=[1, -1, -1],
        right=[2, -1, -1],
        default_left=[stump.default_left[node], False, False],
        zero_is_missing=[stump.zero_is_missing[node], False, False],
        category_offset=[stump.category_offset[node], -1, -1],
        category_words=[stump.category_words[node], 0, 0],
        category_bits=stump.category_bits,
        value=stump.value[keep],
        gain=np.zeros(3),
        cover=np.zeros(3),
        count=np.zeros(3, int),
    )
    made = Forest.concat(
        [cut],
        n_features=alone.n_features,
        n_outputs=alone.n_outputs,
        tree_output=alone.tree_output,
        float32_input=alone.float32_input,
    )
    row = row.astype(np.float32) if made.float32_input else row
    return reference.leaf_of(made, row, 0) == 1


def shapley(forest, row, weights):
    """(outputs, features + 1) values and (outputs, features + 1, features + 1) interactions."""
    n = forest.n_features
    game = {}
    for size in range(n + 1):
        for known in combinations(range(n), size):
            trees = range(forest.n_trees)
            game[frozenset(known)] = sum(
                (expected_value(forest, t, row, known, weights) for t in trees),
                np.zeros(forest.n_outputs),
            )
    values = np.zeros((forest.n_outputs, n + 1))
    pairs = np.zeros((forest.n_outputs, n + 1, n + 1))
    for known, value in game.items():
        for i in set(range(n)) - known:
            s = len(known)
            share = factorial(s) * factorial(n - s - 1) / factorial(n)
            values[:, i] += share * (game[known | {i}] - value)
            for j in set(range(n)) - known - {i}:
                share = factorial(s) * factorial(n - s - 2) / (2 * factorial(n - 1))
                change = game[known | {i, j}] - game[known | {i}] - game[known | {j}] + value
                pairs[:, i, j] += share * change
    for i in range(n):
        pairs[:, i, i] = values[:, i] - pairs[:, i].sum(1)
    values[:, n] = pairs[:, n, n] = game[frozenset()]
    return values, pairs
