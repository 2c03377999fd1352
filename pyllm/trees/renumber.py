"""Trees of other libraries in our order: the root first, children after their parent."""

from typing import Any

import numpy as np

from pyllm.trees.tree import Tree


def breadth_first(left: np.ndarray, right: np.ndarray, root: int = 0) -> np.ndarray:
    """Numbers of the nodes that `root` leads to, level after level; leaves have left = -1.

    Raises:
        ValueError: a child is out of range, or has two parents.
    """
    n = len(left)
    if not 0 <= root < n:
        raise ValueError(f"left, right: there is no root {root} among {n} nodes")
    lefts, rights = left.tolist(), right.tolist()
    order, seen = [root], bytearray(n)
    seen[root] = 1
    for node in order:  # grows as it is read
        if lefts[node] < 0:
            continue
        for child in (lefts[node], rights[node]):
            if not 0 <= child < n or seen[child]:
                raise ValueError(
                    f"left, right: node {node} has a child {child} that is no new node"
                )
            seen[child] = 1
            order.append(child)
    return np.array(order)


def arrange(order: np.ndarray, nodes: dict[str, np.ndarray]) -> Tree:
    """The tree of the nodes in `order`; category words may lie anywhere in category_bits."""
    place = np.full(len(nodes["left"]), -1, np.int64)
    place[order] = np.arange(len(order))
    arrays: dict[str, Any] = {
        name: array if name == "category_bits" else array[order] for name, array in nodes.items()
    }
    inner = arrays["left"] >= 0
    for name in ("left", "right"):
        arrays[name] = np.where(inner, place[np.where(inner, arrays[name], 0)], -1)
    arrays["feature"] = np.where(inner, arrays["feature"], -1)
    return Tree(**arrays)


def means_inside(tree: Tree, weight: np.ndarray) -> Tree:
    """The tree with the mean of a split's children, weighted, as its value."""
    value = tree.value.copy()
    for node in np.flatnonzero(tree.feature >= 0)[::-1]:
        left, right = tree.left[node], tree.right[node]
        total = weight[left] + weight[right]
        share = weight[left] / total if total > 0 else 0.5
        value[node] = share * value[left] + (1 - share) * value[right]
    return tree.with_value(value)


def category_words(category: np.ndarray) -> np.ndarray:
    """Bits of a set of categories as uint32 words.

    Raises:
        ValueError: negative, or above 2**24 (what a float32 can name).
    """
    if category.size and not (category.min() >= 0 and category.max() <= 1 << 24):
        raise ValueError(f"categories: expected 0 to {1 << 24}, got {category.min()}")
    words = np.zeros(int(category.max(initial=0)) // 32 + 1, np.uint32)
    np.bitwise_or.at(words, category // 32, np.uint32(1) << (category % 32).astype(np.uint32))
    return words
