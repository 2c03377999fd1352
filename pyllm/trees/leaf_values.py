"""Values of leaves that are found from their rows after a tree has grown."""

import numpy as np
from numpy.typing import NDArray

from pyllm import _cpu
from pyllm.trees.tree import Tree

FloatArray = NDArray[np.float64]


def set_medians(
    tree: Tree,
    leaf: NDArray[np.int32],
    columns: FloatArray,
    weight: FloatArray | None,
    rows: NDArray[np.int32] | None = None,
) -> None:
    """Leaves hold the weighted medians of their rows, a column an output.

    Args:
        leaf: (n,) the leaf of each row.
        columns: (n, n_outputs).
        rows: the rows that take part; None: all.
    """
    is_leaf = tree.feature < 0
    for k in range(columns.shape[1]):
        column = np.ascontiguousarray(columns[:, k])
        median = _cpu.tree_leaf_quantiles(column, leaf, tree.n_nodes, 0.5, weight, rows)
        tree.value[is_leaf, k] = median[is_leaf]
        average_upwards(tree, k)


def average_upwards(tree: Tree, column: int) -> None:
    """Values of inner nodes as means of their children's, weighed by cover."""
    for node in range(tree.n_nodes - 1, -1, -1):
        if tree.feature[node] >= 0:
            a, b = tree.left[node], tree.right[node]
            total = tree.cover[a] + tree.cover[b]
            share = tree.cover[a] / total if total > 0 else 0.5
            value = share * tree.value[a, column] + (1.0 - share) * tree.value[b, column]
            tree.value[node, column] = value
