"""One row through one tree at a time, as the documentation of `Tree` says it."""

import math

import numpy as np


def leaf_of(forest, row, tree):
    """Index within the tree of the leaf that `row` reaches."""
    first, node = int(forest.tree_offset[tree]), 0
    while forest.feature[first + node] >= 0:
        at = first + node
        x = float(row[forest.feature[at]])
        if math.isnan(x) or (forest.zero_is_missing[at] and abs(x) <= 1e-35):
            goes_left = forest.default_left[at]
        elif forest.category_offset[at] < 0:
            goes_left = x <= forest.threshold[at]
        elif 0 <= x < 32 * int(forest.category_words[at]):
            word = forest.category_bits[forest.category_offset[at] + int(x) // 32]
            goes_left = int(word) >> int(x) % 32 & 1
        else:
            goes_left = False
        node = int(forest.left[at] if goes_left else forest.right[at])
    return node


def leaves(forest, X):
    """(rows, trees): the leaf of every row in every tree."""
    with np.errstate(over="ignore"):
        X = X.astype(np.float32) if forest.float32_input else X
    return np.array(
        [[leaf_of(forest, row, t) for t in range(forest.n_trees)] for row in X], np.int32
    ).reshape(len(X), forest.n_trees)


def margins(forest, X, trees=None):
    """(rows, outputs): base_score plus the sum, or the mean, of what the leaves hold."""
    trees = range(forest.n_trees) if trees is None else trees
    result = np.zeros((len(X), forest.n_outputs))
    at = leaves(forest, X)
    for i in range(len(X)):
        total, count = np.zeros(forest.n_outputs), np.zeros(forest.n_outputs)
        for t in trees:
            value = forest.value[forest.tree_offset[t] + at[i, t]]
            output = forest.tree_output[t]
            if output < 0:
                total, count = total + value, count + 1
            else:
                total[output] += value[0]
                count[output] += 1
        if forest.average:
            total = total / np.maximum(count, 1)
        result[i] = forest.base_score + total
    return result
