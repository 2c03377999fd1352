"""One decision tree as arrays of nodes."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

# Field -> dtype; every one has a row a node, but for category_bits. Forest has the same fields.
NODE_DTYPES: dict[str, type[np.generic]] = {
    "feature": np.int32,
    "threshold": np.float64,
    "left": np.int32,
    "right": np.int32,
    "default_left": np.bool_,
    "zero_is_missing": np.bool_,
    "category_offset": np.int64,
    "category_words": np.int32,
    "category_bits": np.uint32,
    "value": np.float64,
    "gain": np.float32,
    "cover": np.float64,
    "count": np.int64,
}


@dataclass
class Tree:
    """A binary tree: node 0 is the root, children come after their parent.

    A row x goes from a split node to
    - `default_left` if x[feature] is NaN, or 0 where `zero_is_missing` is set;
    - else, at a numerical split, left if x[feature] <= threshold;
    - else, at a categorical split, left if the bit of the category (x[feature] without its
      fraction) is set in the node's words, and right if not: unknown and negative categories go
      right, so a tree that was trained to treat them as missing sends missing values right as well.

    Attributes:
        feature: (n_nodes,) int32, what a node splits on; -1 at a leaf.
        threshold: (n_nodes,) float64; infinity splits NaN from everything else.
        left, right: (n_nodes,) int32, indices of the children; -1 at a leaf.
        default_left: (n_nodes,) bool, where missing values go.
        value: (n_nodes, width) float64; at an inner node, the value it would have as a leaf.
            width is 1, or the number of outputs of the model.
        gain: (n_nodes,) float32, how much the split lowers the objective; 0 at a leaf.
        cover: (n_nodes,) float64, sum of hessians of the training rows in a node.
        count: (n_nodes,) int64, training rows in a node.
        zero_is_missing: (n_nodes,) bool, zero counts as missing too (LightGBM's Zero).
        category_offset: (n_nodes,) int64, first word of a categorical split; -1 elsewhere.
        category_words: (n_nodes,) int32, its words; 0 elsewhere.
        category_bits: (n_words,) uint32, bit c % 32 of word c // 32 stands for category c.

    Raises:
        ValueError: a field has another shape, or values that its dtype does not hold.
    """

    feature: np.ndarray
    threshold: np.ndarray
    left: np.ndarray
    right: np.ndarray
    default_left: np.ndarray
    value: np.ndarray
    gain: np.ndarray
    cover: np.ndarray
    count: np.ndarray
    zero_is_missing: np.ndarray = field(default=None)  # type: ignore[arg-type]
    category_offset: np.ndarray = field(default=None)  # type: ignore[arg-type]
    category_words: np.ndarray = field(default=None)  # type: ignore[arg-type]
    category_bits: np.ndarray = field(default=None)  # type: ignore[arg-type]

    def __post_init__(self) -> None:
        n = np.shape(self.feature)[0] if np.ndim(self.feature) == 1 else -1
        missing = [name for name in plain_fields(0) if getattr(self, name) is None]
        if missing:
            plain = plain_fields(max(n, 0))
            for name in missing:
                setattr(self, name, plain[name])
        if np.ndim(self.value) == 1:
            self.value = np.asarray(self.value)[:, np.newaxis]
        for name, dtype in NODE_DTYPES.items():
            setattr(self, name, as_exactly(getattr(self, name), dtype, name))
        if n < 1:
            raise ValueError(f"feature: expected (n_nodes,) with a root, got {self.feature.shape}")
        for name in NODE_DTYPES:
            shape = getattr(self, name).shape
            fits = {"value": len(shape) == 2 and shape[0] == n, "category_bits": len(shape) == 1}
            if not fits.get(name, shape == (n,)):
                raise ValueError(f"{name}: expected a row for each of {n} nodes, got shape {shape}")

    @classmethod
    def leaf(cls, value: Any, *, cover: float = 0.0, count: int = 0) -> "Tree":
        """A tree that is one leaf: `value` is a number, or one an output."""
        return cls(
            feature=np.array([-1]),
            threshold=np.zeros(1),
            left=np.array([-1]),
            right=np.array([-1]),
            default_left=np.zeros(1, np.bool_),
            value=np.reshape(np.asarray(value, np.float64), (1, -1)),
            gain=np.zeros(1),
            cover=np.array([cover]),
            count=np.array([count]),
        )

    @property
    def n_nodes(self) -> int:
        return len(self.feature)

    @property
    def n_leaves(self) -> int:
        return int(np.count_nonzero(self.feature < 0))

    def scaled(self, factor: float) -> "Tree":
        """The same tree with its values multiplied (a learning rate, DART's weights)."""
        return self.with_value(self.value * factor)

    def with_value(self, value: np.ndarray) -> "Tree":
        """The same tree with other values, (n_nodes, width)."""
        return replace(self, value=value)


def plain_fields(n_nodes: int) -> dict[str, np.ndarray]:
    """The fields that say of nodes that none is categorical, nor takes zero for missing."""
    return {
        "zero_is_missing": np.zeros(n_nodes, np.bool_),
        "category_offset": np.full(n_nodes, -1, np.int64),
        "category_words": np.zeros(n_nodes, np.int32),
        "category_bits": np.zeros(0, np.uint32),
    }


def as_exactly(array: Any, dtype: type[np.generic], name: str) -> np.ndarray:
    """A C-contiguous array of `dtype`, if that holds its values; floats are rounded."""
    given = np.asarray(array)
    wanted = np.dtype(dtype)
    if given.dtype == wanted:
        return np.ascontiguousarray(given)
    if not given.size:
        return np.zeros(given.shape, wanted)
    if given.dtype.kind not in "biuf" or (given.dtype.kind == "f" and wanted.kind != "f"):
        raise ValueError(f"{name}: expected values of {wanted}, got dtype {given.dtype}")
    if wanted.kind == "f":
        with np.errstate(over="ignore"):  # what becomes infinite is found where it counts
            return np.ascontiguousarray(given, wanted)
    if wanted.kind == "b":
        if given.min() < 0 or given.max() > 1:
            raise ValueError(f"{name}: expected bools, got {given.min()} to {given.max()}")
        return np.ascontiguousarray(given, wanted)
    limits = np.iinfo(wanted)  # type: ignore[arg-type]
    if int(given.min()) < limits.min or int(given.max()) > limits.max:
        raise ValueError(f"{name}: expected {wanted}, got {given.min()} to {given.max()}")
    return np.ascontiguousarray(given, wanted)
