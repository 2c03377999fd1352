"""What must hold for the arrays of a forest, so that no kernel has to look again."""

from typing import TYPE_CHECKING

import numpy as np

from pyllm import _cpu

if TYPE_CHECKING:
    from pyllm.trees.forest import Forest

MAX_FEATURES = 2**31 - 1
MAX_OUTPUTS = 2**20


def check_forest(forest: "Forest") -> None:
    """Raise ValueError, naming the field, unless `forest` is a forest; see `Forest` and `Tree`."""
    check_shapes(forest)
    check_trees(forest)
    check_nodes(forest)


def check_shapes(forest: "Forest") -> None:
    """Every array is as long as the others say."""
    if not 0 <= forest.n_features <= MAX_FEATURES:
        _fail("n_features", f"expected 0 to {MAX_FEATURES}, got {forest.n_features}")
    if not 1 <= forest.n_outputs <= MAX_OUTPUTS:
        _fail("n_outputs", f"expected 1 to {MAX_OUTPUTS}, got {forest.n_outputs}")
    if forest.base_score.shape != (forest.n_outputs,):
        _fail("base_score", f"expected ({forest.n_outputs},), got shape {forest.base_score.shape}")
    if forest.tree_output.ndim != 1:
        _fail("tree_output", f"expected one axis, got shape {forest.tree_output.shape}")
    n_trees, n_nodes = len(forest.tree_output), len(forest.feature)
    if forest.tree_offset.shape != (n_trees + 1,):
        _fail("tree_offset", f"expected ({n_trees + 1},), got shape {forest.tree_offset.shape}")
    for name in (
        *("feature", "threshold", "left", "right", "default_left", "zero_is_missing"),
        *("category_offset", "category_words", "gain", "cover", "count"),
    ):
        if getattr(forest, name).shape != (n_nodes,):
            _fail(name, f"expected ({n_nodes},), got shape {getattr(forest, name).shape}")
    if forest.category_bits.ndim != 1:
        _fail("category_bits", f"expected one axis, got shape {forest.category_bits.shape}")
    widths = {1, forest.n_outputs}
    shape = forest.value.shape
    if len(shape) != 2 or shape[0] != n_nodes or shape[1] not in widths:
        _fail("value", f"expected ({n_nodes}, 1 or {forest.n_outputs}), got shape {shape}")
    names = forest.feature_names
    if names is not None:
        if len(names) != forest.n_features or not all(isinstance(name, str) for name in names):
            _fail("feature_names", f"expected {forest.n_features} strings, got {len(names)} items")
        if len(set(names)) != len(names):
            _fail("feature_names", "expected distinct names")


def check_trees(forest: "Forest") -> None:
    """The trees tile the nodes, and each adds to an output that is there."""
    offset, output = forest.tree_offset, forest.tree_output
    if offset[0] != 0 or offset[-1] != len(forest.feature):
        _fail(
            "tree_offset", f"expected 0 to {len(forest.feature)}, got {offset[0]} to {offset[-1]}"
        )
    sizes = np.diff(offset)
    if sizes.size and (sizes.min() < 1 or sizes.max() > MAX_FEATURES):
        _fail("tree_offset", "expected every tree to have a node, and fewer than 2**31")
    if forest.value.shape[1] == forest.n_outputs > 1:
        if np.any(output != -1):
            _fail("tree_output", "expected -1 for trees with vector leaves")
    elif output.size and (output.min() < 0 or output.max() >= forest.n_outputs):
        _fail(
            "tree_output",
            f"expected 0 to {forest.n_outputs - 1}, got {output.min()} to {output.max()}",
        )


def check_nodes(forest: "Forest") -> None:
    """Each tree is one tree: a node but the root has one parent, and comes after it. Split nodes
    name a feature, and a threshold or a set of categories that is there. What is added or averaged
    is finite, what is counted is not negative."""
    names = ("tree_offset", "feature", "threshold", "left", "right", "value", "gain", "cover")
    categories = ("category_offset", "category_words", "category_bits")
    arrays = {name: getattr(forest, name) for name in (*names, *categories, "count")}
    fault = _cpu.forest_check(n_features=forest.n_features, **arrays)
    if fault is not None:
        _fail(*fault)
    if not np.all(np.isfinite(forest.base_score)):
        _fail("base_score", "expected finite numbers")


def _fail(name: str, problem: str) -> None:
    raise ValueError(f"{name}: {problem}")
