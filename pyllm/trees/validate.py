"""What must hold for the arrays of a forest, so that no kernel has to look again."""

from typing import TYPE_CHECKING

import numpy as np

from pyllm import _cpu

if TYPE_CHECKING:
    from pyllm.trees.forest import Forest

MAX_FEATURES = 2**31 - 1
MAX_OUTPUTS = 2**20
MAX_CATEGORY_WORDS = 2**26 - 1


def check_forest(forest: "Forest") -> None:
    """Raise ValueError, naming the field, unless `forest` is a forest; see `Forest` and `Tree`."""
    check_shapes(forest)
    check_trees(forest)
    check_children(forest)
    check_splits(forest)
    check_numbers(forest)


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


def check_children(forest: "Forest") -> None:
    """Each tree is one tree: a node but the root has one parent, and comes after it."""
    fault = _cpu.tree_check_children(forest.tree_offset, forest.feature, forest.left, forest.right)
    if fault is not None:
        _fail(*fault)


def check_splits(forest: "Forest") -> None:
    """Split nodes name a feature, and a threshold or a set of categories that is there."""
    feature = forest.feature
    if feature.size and (feature.min() < -1 or feature.max() >= forest.n_features):
        _fail(
            "feature",
            f"expected -1 to {forest.n_features - 1}, got {feature.min()} to {feature.max()}",
        )
    offset, words = forest.category_offset, forest.category_words
    categorical = offset != -1
    if np.any(offset < -1) or np.any(feature[categorical] < 0):
        _fail("category_offset", "expected -1 but at categorical splits")
    if np.any((words > 0) != categorical) or np.any(words < 0):
        _fail("category_words", "expected words at categorical splits, and there only")
    if np.any(words > MAX_CATEGORY_WORDS):
        _fail("category_words", f"expected at most {MAX_CATEGORY_WORDS}, got {words.max()}")
    # No sum: a hostile offset could overflow it.
    total = len(forest.category_bits)
    if np.any(words > total) or np.any(offset > total - words.astype(np.int64)):
        _fail("category_offset", f"expected offset + words <= {total}, the length of category_bits")
    if np.any(np.isnan(forest.threshold)):
        _fail("threshold", "expected numbers, got NaN")


def check_numbers(forest: "Forest") -> None:
    """What is added or averaged is finite, what is counted is not negative."""
    for name in ("base_score", "value", "gain", "cover"):
        if not np.all(np.isfinite(getattr(forest, name))):
            _fail(name, "expected finite numbers")
    for name in ("cover", "count"):
        if np.any(getattr(forest, name) < 0):
            _fail(name, "expected no negative numbers")


def _fail(name: str, problem: str) -> None:
    raise ValueError(f"{name}: {problem}")
