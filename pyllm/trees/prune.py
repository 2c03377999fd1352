"""Minimal cost-complexity pruning: Breiman, Friedman, Olshen and Stone 1984, chapter 3.

With R(t) the risk of node t as a leaf and R(T_t), |T_t| the risk and the leaves of what is below
it, t is worth splitting while a leaf costs less than

    alpha(t) = (R(t) - R(T_t)) / (|T_t| - 1).

The weakest link, the split of the lowest alpha, is cut first; its ancestors' alphas follow. What is
left at each alpha is the smallest tree of the least R(T) + alpha |T|. `pyllm.trees.risk` has risks.
"""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pyllm.trees.renumber import arrange, breadth_first
from pyllm.trees.tree import NODE_DTYPES, Tree


@dataclass(frozen=True)
class PruningPath:
    """Trees from the whole one to its root: (n_steps,) the alpha from which each is the best one,
    rising from 0, and the risk of its leaves."""

    ccp_alphas: np.ndarray
    impurities: np.ndarray


def pruning_path(tree: Tree, risk: np.ndarray) -> PruningPath:
    """All trees that pruning can leave."""
    whole = float(risk[tree.feature < 0].sum())
    alphas, risks = [0.0], [whole]
    for _, alpha, left in _weakest_links(tree, risk):
        alphas.append(max(alpha, alphas[-1]))  # rounding may let one fall
        risks.append(left)
    return PruningPath(np.array(alphas), np.array(risks))


def prune(tree: Tree, risk: np.ndarray, alpha: float) -> tuple[Tree, np.ndarray]:
    """The tree without the splits that are not worth `alpha` a leaf.

    Returns:
        The tree, and (n_nodes,) int32: where rows of each former node are now.
    """
    cut = []
    for node, weakest, _ in _weakest_links(tree, risk):
        if weakest > alpha:
            break
        cut.append(node)
    if not cut:
        return tree, np.arange(tree.n_nodes, dtype=np.int32)
    left, right = tree.left.copy(), tree.right.copy()
    left[cut] = right[cut] = -1
    order = breadth_first(left, right)
    place = np.full(tree.n_nodes, -1, np.int32)
    place[order] = np.arange(len(order))
    for node in range(tree.n_nodes):  # children come after their parent
        if tree.feature[node] >= 0:
            for child in (tree.left[node], tree.right[node]):
                if place[child] < 0:
                    place[child] = place[node]
    leaf = left < 0
    nodes = {name: getattr(tree, name) for name in NODE_DTYPES} | {"left": left, "right": right}
    for name, value in _OF_A_LEAF.items():
        nodes[name] = np.where(leaf, value, nodes[name]).astype(NODE_DTYPES[name])
    return arrange(order, nodes), place


_OF_A_LEAF = {
    "feature": -1,
    "threshold": 0.0,
    "default_left": False,
    "zero_is_missing": False,
    "category_offset": -1,
    "category_words": 0,
    "gain": 0.0,
}


def _weakest_links(tree: Tree, risk: np.ndarray) -> Iterator[tuple[int, float, float]]:
    """Splits in the order they are cut: the node, its alpha, the risk of the tree without it."""
    left, right = tree.left.tolist(), tree.right.tolist()
    own = risk.tolist()
    below = list(own)  # R(T_t)
    leaves = [1] * tree.n_nodes
    parent = [-1] * tree.n_nodes
    inner = [child >= 0 for child in left]
    for node in range(tree.n_nodes - 1, -1, -1):
        if inner[node]:
            parent[left[node]] = parent[right[node]] = node
            below[node] = below[left[node]] + below[right[node]]
            leaves[node] = leaves[left[node]] + leaves[right[node]]

    def alpha(node: int) -> float:
        return max(own[node] - below[node], 0.0) / (leaves[node] - 1)

    heap = [(alpha(node), node) for node in range(tree.n_nodes) if inner[node]]
    heapq.heapify(heap)
    while heap:
        weakest, node = heapq.heappop(heap)
        if not inner[node]:
            continue  # cut with an ancestor
        now = alpha(node)
        if now > weakest:  # cuts below it made it worth more, never less
            heapq.heappush(heap, (now, node))
            continue
        stack = [node]
        while stack:
            under = stack.pop()
            if inner[under]:
                inner[under] = False
                stack += [left[under], right[under]]
        below[node], leaves[node] = own[node], 1
        up = parent[node]
        while up >= 0:
            below[up] = below[left[up]] + below[right[up]]
            leaves[up] = leaves[left[up]] + leaves[right[up]]
            up = parent[up]
        yield node, weakest, below[0]
