"""A forest to read: as indented text, and as columns for a data frame."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pyllm.trees.forest import Forest

_SHOWN_CATEGORIES = 12


def dump(forest: "Forest", tree: int | None = None) -> str:
    """Every tree, or one, a node a line; the branch that a row takes if the condition holds comes
    first.

    Raises:
        IndexError: there is no such tree.
    """
    if tree is None:
        return "\n".join(dump(forest, i) for i in range(forest.n_trees))
    if not -forest.n_trees <= tree < forest.n_trees:
        raise IndexError(f"tree: expected below {forest.n_trees}, got {tree}")
    tree %= forest.n_trees
    output = int(forest.tree_output[tree])
    lines = [
        f"tree {tree}" + (f", output {output}" if forest.n_outputs > 1 and output >= 0 else "")
    ]
    first = int(forest.tree_offset[tree])
    stack = [(0, 1)]  # nodes yet to print and their depths
    while stack:
        node, depth = stack.pop()
        lines.append("  " * depth + describe(forest, first + node))
        if forest.feature[first + node] >= 0:
            stack.append((int(forest.right[first + node]), depth + 1))
            stack.append((int(forest.left[first + node]), depth + 1))
    return "\n".join(lines) + "\n"


def describe(forest: "Forest", at: int) -> str:
    """One line about node number `at` of the forest."""
    if forest.feature[at] < 0:
        value = ", ".join(f"{v:.6g}" for v in forest.value[at])
        return f"leaf {value} (count {forest.count[at]}, cover {forest.cover[at]:.6g})"
    return (
        f"{condition(forest, at)}, {missing(forest, at)} "
        f"(gain {forest.gain[at]:.6g}, count {forest.count[at]}, cover {forest.cover[at]:.6g})"
    )


def feature_name(forest: "Forest", feature: int) -> str:
    """Its name, or f and its number."""
    return f"f{feature}" if forest.feature_names is None else forest.feature_names[feature]


def condition(forest: "Forest", at: int) -> str:
    """What sends a row left at a split."""
    name = feature_name(forest, int(forest.feature[at]))
    if forest.category_offset[at] < 0:
        return f"{name} <= {forest.threshold[at]:.6g}"
    inside = categories(forest, at)
    shown = ", ".join(str(c) for c in inside[:_SHOWN_CATEGORIES])
    more = len(inside) - _SHOWN_CATEGORIES
    return f"{name} in {{{shown}{f', and {more} more' if more > 0 else ''}}}"


def missing(forest: "Forest", at: int) -> str:
    """Where missing values go, and what they are if zero is one."""
    side = "left" if forest.default_left[at] else "right"
    return f"missing{' or 0' if forest.zero_is_missing[at] else ''} {side}"


def categories(forest: "Forest", at: int) -> np.ndarray:
    """Those that go left at a categorical split, ascending."""
    first, words = int(forest.category_offset[at]), int(forest.category_words[at])
    bits = forest.category_bits[first : first + words].astype("<u4").view(np.uint8)
    return np.flatnonzero(np.unpackbits(bits, bitorder="little"))


def to_columns(forest: "Forest") -> dict[str, np.ndarray]:
    """A row a node: `pandas.DataFrame(forest.to_columns())`. Leaves have no feature (None)."""
    sizes = np.diff(forest.tree_offset)
    tree = np.repeat(np.arange(forest.n_trees), sizes)
    names = [feature_name(forest, i) for i in np.unique(forest.feature[forest.feature >= 0])]
    lookup = dict(zip(np.unique(forest.feature[forest.feature >= 0]), names, strict=True))
    value = forest.value
    values = (
        {"value": value[:, 0]}
        if value.shape[1] == 1
        else {f"value {k}": value[:, k] for k in range(value.shape[1])}
    )
    return {
        "tree": tree,
        "node": np.arange(len(tree)) - forest.tree_offset[:-1][tree],
        "output": forest.tree_output[tree],
        "feature": np.array([lookup.get(f) for f in forest.feature], object),
        "threshold": np.where(
            (forest.feature >= 0) & (forest.category_offset < 0), forest.threshold, np.nan
        ),
        "categories": np.array(
            [categories(forest, i).tolist() if o >= 0 else None
             for i, o in enumerate(forest.category_offset)] + [None], object
        )[:-1],
        **{name: getattr(forest, name) for name in ("left", "right", "default_left")},
        **values,
        **{name: getattr(forest, name) for name in ("gain", "cover", "count")},
    }  # fmt: skip
