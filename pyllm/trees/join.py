"""Trees apart, and the same side by side in one set of arrays, as a forest has them."""

from collections.abc import Mapping, Sequence

import numpy as np

from pyllm.trees.tree import NODE_DTYPES, Tree


def join_trees(trees: Sequence[Tree]) -> dict[str, np.ndarray]:
    """`tree_offset` and the fields of the nodes, see `Forest`.

    Raises:
        ValueError: trees whose values are not of one width.
    """
    widths = {tree.value.shape[1] for tree in trees}
    if len(widths) > 1:
        raise ValueError(f"trees: expected values of one width, got {sorted(widths)}")
    arrays = {
        name: np.concatenate([getattr(tree, name) for tree in trees])
        if trees
        else np.zeros((0, 1) if name == "value" else 0, dtype)
        for name, dtype in NODE_DTYPES.items()
    }
    sizes = [tree.n_nodes for tree in trees]
    words = np.cumsum([0] + [len(tree.category_bits) for tree in trees])[:-1]
    offset = arrays["category_offset"]
    arrays["category_offset"] = np.where(offset >= 0, offset + np.repeat(words, sizes), offset)
    arrays["tree_offset"] = np.cumsum([0, *sizes])
    return arrays


def part_tree(arrays: Mapping[str, np.ndarray], nodes: slice) -> Tree:
    """The tree of these nodes; its arrays are views where none of its splits is categorical."""
    own = {name: arrays[name][nodes] for name in NODE_DTYPES if name != "category_bits"}
    offset, words = own["category_offset"], own["category_words"]
    split = np.flatnonzero(offset >= 0)
    bits = arrays["category_bits"]
    pieces = [bits[offset[i] : offset[i] + words[i]] for i in split]
    own["category_bits"] = np.concatenate([np.zeros(0, np.uint32), *pieces])
    if len(split):
        own["category_offset"] = np.full(len(offset), -1, np.int64)
        own["category_offset"][split] = np.cumsum([0, *words[split]])[:-1]
    return Tree(**own)
