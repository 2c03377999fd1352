"""Where rows end up in a forest, and what that adds up to."""

from typing import TYPE_CHECKING

import numpy as np

from pyllm.trees.matrix import Dense, Sparse

if TYPE_CHECKING:
    from pyllm.trees.forest import Forest

_BLOCK = 4096  # rows at a time
_ZERO = 1e-35  # LightGBM's idea of zero


def find_leaves(forest: "Forest", X: Dense | Sparse, trees: range) -> np.ndarray:
    """(rows, trees) int32: the leaf each row reaches, as an index within the tree."""
    leaves = np.zeros((X.n_rows, len(trees)), np.int32)
    for begin in range(0, X.n_rows, _BLOCK):
        rows = X.block(begin, min(begin + _BLOCK, X.n_rows))
        if forest.float32_input:
            with np.errstate(over="ignore"):
                rows = rows.astype(np.float32)
        for column, tree in enumerate(trees):
            leaves[begin : begin + len(rows), column] = _walk(forest, rows, tree)
    return leaves


def sum_leaves(forest: "Forest", leaves: np.ndarray, trees: range) -> np.ndarray:
    """(rows, outputs) float64 margins from the leaves in `trees`."""
    margin = np.zeros((len(leaves), forest.n_outputs))
    counts = np.zeros(forest.n_outputs)
    for column, tree in enumerate(trees):
        values = forest.value[forest.tree_offset[tree] + leaves[:, column]]
        output = forest.tree_output[tree]
        into = slice(None) if output < 0 else slice(output, output + 1)
        margin[:, into] += values
        counts[into] += 1
    if forest.average:
        margin /= np.maximum(counts, 1)
    return forest.base_score + margin


def _walk(forest: "Forest", rows: np.ndarray, tree: int) -> np.ndarray:
    first = forest.tree_offset[tree]
    node = np.zeros(len(rows), np.int64)
    moving = np.arange(len(rows))
    while True:
        at = first + node[moving]
        split = forest.feature[at] >= 0
        moving, at = moving[split], at[split]
        if not len(moving):
            return node
        x = rows[moving, forest.feature[at]].astype(np.float64)
        goes_left = np.where(
            forest.category_offset[at] < 0, x <= forest.threshold[at], _in_category(forest, x, at)
        )
        missing = np.isnan(x) | (forest.zero_is_missing[at] & (np.abs(x) <= _ZERO))
        goes_left = np.where(missing, forest.default_left[at], goes_left)
        node[moving] = np.where(goes_left, forest.left[at], forest.right[at])


def _in_category(forest: "Forest", x: np.ndarray, at: np.ndarray) -> np.ndarray:
    inside = (x >= 0) & (x < 32.0 * forest.category_words[at])
    if not inside.any():
        return inside
    category = np.where(inside, x, 0).astype(np.int64)
    word = np.where(inside, forest.category_offset[at] + category // 32, 0)
    return inside & ((forest.category_bits[word] >> (category % 32).astype(np.uint32)) & 1 == 1)
