"""Trees that are grown apart and averaged: the mean of its rows in every leaf."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyllm import _cpu
from pyllm.trees.categories import category_fields
from pyllm.trees.dataset import Dataset
from pyllm.trees.forest import Forest
from pyllm.trees.grow import edges_of
from pyllm.trees.tree_parameters import TreeParameters


@dataclass(frozen=True)
class Averaged:
    """Trees, and where the rows of the data set are.

    Attributes:
        forest: the trees, averaged.
        leaf_of_row: (n_trees, n_samples) int32, the node of the leaf of every row, if asked for.
        drawn: (n_trees, n_samples) int32, how often each row was drawn, if asked for.
        interrupted: Ctrl-C came; the trees are those that were done.
    """

    forest: Forest
    leaf_of_row: NDArray[np.int32] | None
    drawn: NDArray[np.int32] | None
    interrupted: bool


def grow_averaged(
    dataset: Dataset,
    columns: NDArray[np.float64],
    parameters: TreeParameters,
    seeds: Sequence[int],
    *,
    centre: Any = 0.0,
    weight: NDArray[np.float64] | None = None,
    bootstrap: "_cpu.TreeBootstrap | None" = None,
    keep_rows: bool = False,
    feature_names: list[str] | None = None,
    progress: Callable[[int], None] | None = None,
) -> Averaged:
    """Grow a tree a seed, several at a time.

    The forest is bitwise the same at any number of threads, on any instruction set, and whether its
    trees are grown in one call or in several.

    Args:
        columns: (n_samples, n_outputs), what the leaves hold the mean of; splits lower its variance
            (or what `parameters.criterion` says).
        centre: (n_outputs,), taken off first where splits are looked for: their sums are of few
            digits.
        weight: (n_samples,) of the rows.
        bootstrap: draws the rows of each tree by its seed; they then weigh as often as they were
            drawn. Default: every tree takes all.
        keep_rows: also give the leaf of each row, and how often it was drawn.
        progress: called now and then with the number of trees that are done.

    Raises:
        ValueError: shapes that do not match the data set.
    """
    columns = np.ascontiguousarray(columns, np.float64)
    shape = (len(seeds), dataset.n_samples)
    leaf_of_row = np.empty(shape, np.int32) if keep_rows else None
    drawn = np.empty(shape, np.int32) if keep_rows and bootstrap is not None else None
    grown = _cpu.tree_grow_averaged(
        dataset._bins,
        columns,
        np.ascontiguousarray(columns - centre, np.float32),
        None if weight is None else np.ascontiguousarray(weight, np.float64),
        bootstrap,
        list(seeds),
        parameters.options(dataset.n_features),
        *edges_of(dataset),
        leaf_of_row,
        drawn,
        progress,
    )
    interrupted = grown.pop("interrupted")
    categories: dict[str, Any] = category_fields(
        dataset.categories, grown["feature"], grown.pop("category_offset"), grown.pop("categories")
    )
    outputs = columns.shape[1]
    forest = Forest(
        n_features=dataset.n_features,
        n_outputs=outputs,
        base_score=np.zeros(outputs),
        tree_output=np.full(len(grown["tree_offset"]) - 1, -1 if outputs > 1 else 0, np.int32),
        zero_is_missing=np.zeros(len(grown["feature"]), np.bool_),
        **grown,
        **categories,
        average=True,
        feature_names=feature_names,
    )
    return Averaged(forest, leaf_of_row, drawn, interrupted)
