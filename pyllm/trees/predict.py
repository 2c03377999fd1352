"""Where rows end up in a forest, and what that adds up to."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from pyllm import _cpu, cuda
from pyllm.trees.matrix import Dense, Sparse
from pyllm.trees.tree import NODE_DTYPES

if TYPE_CHECKING:
    from pyllm.trees.forest import Forest


# Leaves that staged predictions keep at a time: of so many trees, and in all.
_STAGED_TREES, _STAGED_LEAVES = 64, 1 << 24

_DLPACK_CUDA = (2, 13)  # device memory, and memory that moves by itself


class Traversal:
    """The layouts of a forest that its kernels walk, made when rows first need them."""

    def __init__(self) -> None:
        self._float32_thresholds: bool | None = None
        self._packed: dict[bool, _cpu.PackedForest] = {}
        self._on_device: dict[int, Any] = {}

    def of(self, forest: "Forest", dtype: np.dtype) -> dict[str, Any]:
        """Arguments of the kernels for rows of this dtype."""
        rounds = dtype == np.float32 or forest.float32_input
        wide = not rounds and not self._all_float32(forest)
        if wide not in self._packed:
            names = ("tree_offset", "tree_output", "n_features", "n_outputs")
            skipped = ("gain", "cover", "count")
            arrays = {name: getattr(forest, name) for name in (*names, *NODE_DTYPES)}
            kept = {name: array for name, array in arrays.items() if name not in skipped}
            self._packed[wide] = _cpu.PackedForest(**kept, wide_keys=wide)
        return {"forest": self._packed[wide], "round_up": not rounds}

    def _all_float32(self, forest: "Forest") -> bool:
        """Whether float32 holds every threshold."""
        if self._float32_thresholds is None:
            thresholds = forest.threshold[forest.feature >= 0]
            with np.errstate(over="ignore"):
                self._float32_thresholds = np.array_equal(thresholds.astype(np.float32), thresholds)
        return self._float32_thresholds

    def on_device(self, forest: "Forest", device: int) -> Any:
        """The same on a device."""
        if device not in self._on_device:
            names = ("base_score", "tree_offset", "tree_output", *NODE_DTYPES)
            self._on_device[device] = cuda.required().PackedForest(
                {name: getattr(forest, name) for name in names},
                n_features=forest.n_features,
                n_outputs=forest.n_outputs,
                average=forest.average,
                float32_input=forest.float32_input,
                device=device,
            )
        return self._on_device[device]


def device_of_rows(X: Any) -> int | None:
    """The CUDA device of an array there, of any framework; None for rows on the CPU."""
    if type(X) is np.ndarray or not hasattr(X, "__dlpack_device__"):
        return None
    kind, number = X.__dlpack_device__()
    return int(number) if int(kind) in _DLPACK_CUDA else None


def predict_on_device(
    forest: "Forest", X: Any, device: int, trees: range, *, leaves: bool = False
) -> Any:
    """Margins (rows, outputs) float64, or leaves (rows, trees) int32, on the device of X."""
    packed = forest.traversal.on_device(forest, device)
    return cuda.required().forest_predict(
        packed, X, first_tree=trees.start, end_tree=trees.stop, leaves=leaves
    )


def find_leaves(forest: "Forest", X: Dense | Sparse, trees: range) -> np.ndarray:
    """(rows, trees) int32: the leaf each row reaches, as an index within the tree."""
    return _run(forest, X, trees, leaves=True)


def margins(forest: "Forest", X: Dense | Sparse, trees: range) -> np.ndarray:
    """(rows, outputs) float64: base_score and what `trees` give."""
    return _finish(forest, _run(forest, X, trees), trees)


def staged_margins(forest: "Forest", X: Dense | Sparse, step: int) -> Iterator[np.ndarray]:
    """`margins` of the first `step`, 2 * `step`, ... trees, and of all of them.

    Rows are turned into keys once for many trees, whose leaves are then added tree by tree.
    """
    sums = np.zeros((forest.n_outputs, X.n_rows))
    at_once = min(max(_STAGED_LEAVES // max(X.n_rows, 1), 1), _STAGED_TREES)
    for first in range(0, forest.n_trees, at_once):
        trees = range(first, min(first + at_once, forest.n_trees))
        leaves = np.ascontiguousarray(find_leaves(forest, X, trees).T)
        for t, leaf in zip(trees, leaves, strict=True):
            value = forest.value[forest.tree_offset[t] : forest.tree_offset[t + 1]]
            output = max(int(forest.tree_output[t]), 0)
            for k in range(value.shape[1]):
                _cpu.tree_add_leaf_values(sums[output + k], leaf, np.ascontiguousarray(value[:, k]))
            if (t + 1) % step == 0 or t + 1 == forest.n_trees:
                yield _finish(forest, sums.T, range(t + 1))


def _run(forest: "Forest", X: Dense | Sparse, trees: range, **options: Any) -> np.ndarray:
    arguments = forest.traversal.of(forest, X.dtype)
    return _cpu.forest_predict(
        **X.arguments(), **arguments, first_tree=trees.start, end_tree=trees.stop, **options
    )


def _finish(forest: "Forest", sums: np.ndarray, trees: range) -> np.ndarray:
    if forest.average:
        sums = sums / forest.trees_of_outputs(trees)
    return forest.base_score + sums
