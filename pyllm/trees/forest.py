"""A forest: trees side by side in one set of arrays, however they were made."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from pyllm.trees.dump import dump, to_columns
from pyllm.trees.explain import partial_dependence, shap
from pyllm.trees.importance import importance
from pyllm.trees.join import join_trees, part_tree
from pyllm.trees.matrix import read_matrix
from pyllm.trees.modelfile import load_forest, save_forest
from pyllm.trees.onnx_export import to_onnx
from pyllm.trees.predict import (
    Traversal,
    device_of_rows,
    find_leaves,
    margins,
    predict_on_device,
    staged_margins,
)
from pyllm.trees.tree import NODE_DTYPES, Tree, as_exactly, plain_fields
from pyllm.trees.validate import MAX_OUTPUTS, check_forest


@dataclass
class Forest:
    """A model that is a sum, or a mean, of trees: trained, loaded or saved.

    The arrays hold the nodes of all trees one after the other; `Tree` says what a node means. A
    forest is checked when it is made and not to be changed afterwards (its arrays are read-only);
    `concat`, slicing (`forest[:best]`) and `dataclasses.replace` make new ones.

    Attributes:
        n_features: columns of X.
        n_outputs: columns of the margin.
        base_score: (n_outputs,) float64, added to every row's margin.
        tree_offset: (n_trees + 1,) int64; the nodes of tree t are
            [tree_offset[t], tree_offset[t + 1]), the first one its root.
        tree_output: (n_trees,) int32, the output that a tree adds to; -1: its leaves are vectors
            over all outputs.
        feature, threshold, left, right, default_left, value, gain, cover, count, zero_is_missing,
            category_offset, category_words, category_bits: as in `Tree`, for all trees; children
            are numbered within their tree.
        average: a margin is the mean, not the sum, over the trees that add to it.
        feature_names: one a feature, or None.
        float32_input: X is rounded to float32 before it is compared (XGBoost's convention).
        metadata: what else goes into a model file, a JSON object; prediction ignores it.

    Raises:
        ValueError: the arrays are not a forest; names the field.
    """

    n_features: int
    n_outputs: int
    base_score: np.ndarray
    tree_offset: np.ndarray
    tree_output: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    left: np.ndarray
    right: np.ndarray
    default_left: np.ndarray
    value: np.ndarray
    gain: np.ndarray
    cover: np.ndarray
    count: np.ndarray
    zero_is_missing: np.ndarray
    category_offset: np.ndarray
    category_words: np.ndarray
    category_bits: np.ndarray
    average: bool = False
    feature_names: list[str] | None = None
    float32_input: bool = False
    metadata: dict[str, Any] = field(default_factory=dict)
    traversal: Traversal = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self.n_features, self.n_outputs = int(self.n_features), int(self.n_outputs)
        self.average, self.float32_input = bool(self.average), bool(self.float32_input)
        self.base_score = as_exactly(self.base_score, np.float64, "base_score")
        self.tree_offset = as_exactly(self.tree_offset, np.int64, "tree_offset")
        self.tree_output = as_exactly(self.tree_output, np.int32, "tree_output")
        for name, dtype in NODE_DTYPES.items():
            setattr(self, name, as_exactly(getattr(self, name), dtype, name))
        for name in ("base_score", "tree_offset", "tree_output", *NODE_DTYPES):
            view = getattr(self, name).view()
            view.flags.writeable = False
            setattr(self, name, view)
        if self.feature_names is not None:
            self.feature_names = list(self.feature_names)
        check_forest(self)
        self.traversal = Traversal()

    def __getstate__(self) -> dict[str, Any]:
        state = {f.name: getattr(self, f.name) for f in fields(self) if f.init}
        if not len(self.category_bits) and not self.zero_is_missing.any():
            for name in plain_fields(0):
                del state[name]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**{**plain_fields(len(state["feature"])), **state})  # type: ignore[misc]

    @classmethod
    def concat(
        cls,
        trees: Sequence[Tree],
        *,
        n_features: int,
        n_outputs: int = 1,
        base_score: Any = 0.0,
        tree_output: Any = None,
        average: bool = False,
        feature_names: Sequence[str] | None = None,
        float32_input: bool = False,
        metadata: dict[str, Any] | None = None,
    ) -> "Forest":
        """A forest of `trees`, in this order.

        Args:
            trees: any number of trees.
            base_score: one number, or one an output.
            tree_output: the output that each tree adds to. Default: -1 (vector leaves) where the
                trees' values are as wide as the outputs, else the outputs in turn.

        Raises:
            ValueError: trees of different widths, or as `Forest`.
        """
        if not 1 <= n_outputs <= MAX_OUTPUTS:
            raise ValueError(f"n_outputs: expected 1 to {MAX_OUTPUTS}, got {n_outputs}")
        if tree_output is None:
            vectors = n_outputs > 1 and {tree.value.shape[1] for tree in trees} == {n_outputs}
            tree_output = np.full(len(trees), -1) if vectors else np.arange(len(trees)) % n_outputs
        return cls(
            n_features=n_features,
            n_outputs=n_outputs,
            base_score=np.broadcast_to(np.asarray(base_score, np.float64), (n_outputs,)).copy(),
            tree_output=tree_output,
            **join_trees(trees),
            average=average,
            feature_names=None if feature_names is None else list(feature_names),
            float32_input=float32_input,
            metadata=dict(metadata or {}),
        )

    def save(self, path: str | Path) -> None:
        """Write the forest: safetensors if `path` ends in .safetensors, ONNX if in .onnx, else
        JSON.

        The file is written beside its place and renamed: it is whole, or as it was. Its form is
        described in docs/tree_model.md; an ONNX file, see `to_onnx`, cannot be loaded again.

        Raises:
            ValueError: `metadata` is not what JSON can hold.
        """
        save_forest(self, path)

    @classmethod
    def load(cls, path: str | Path) -> "Forest":
        """Read a file that `save` wrote; see `load_xgboost` and `load_lightgbm` for others'.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it is damaged, no model file, or of a later version.
        """
        return load_forest(path)

    def to_onnx(self, *, dtype: Any = np.float64) -> Any:
        """The forest as an ONNX model (TreeEnsemble of ai.onnx.ml, opset 5).

        Its input is "X", (rows, n_features) of `dtype`, NaN for missing; its output "margin",
        (rows, n_outputs) of `dtype`, what `predict` gives. With float32 every row still goes the
        way that it goes here, as thresholds are rounded down; values lose digits. Categories have
        to be whole numbers.

        Returns:
            An `onnx.ModelProto`; `onnx.save` writes it, and `forest.save("model.onnx")` does both.

        Raises:
            ValueError: another dtype; a forest without features; splits where zero counts as
                missing (some LightGBM models), which ONNX does not have.
            ImportError: the package onnx is not installed (extra `onnx`).
        """
        return to_onnx(self, dtype=dtype)

    @property
    def n_trees(self) -> int:
        return len(self.tree_output)

    def __len__(self) -> int:
        return self.n_trees

    def tree(self, index: int) -> Tree:
        """Tree number `index` on its own; negative numbers count from the end.

        Raises:
            IndexError: there is no such tree.
        """
        if not -self.n_trees <= index < self.n_trees:
            raise IndexError(f"tree: expected below {self.n_trees}, got {index}")
        index %= self.n_trees
        nodes = slice(int(self.tree_offset[index]), int(self.tree_offset[index + 1]))
        return part_tree({name: getattr(self, name) for name in NODE_DTYPES}, nodes)

    def trees(self) -> list[Tree]:
        """Every tree on its own."""
        return [self.tree(i) for i in range(self.n_trees)]

    def __getitem__(self, trees: slice) -> "Forest":
        """The forest of some of the trees: forest[:best], forest[10:20]."""
        if not isinstance(trees, slice):
            raise TypeError(f"forest[...]: expected a slice, got {trees!r}; see Forest.tree")
        return self.with_trees(
            [self.tree(i) for i in range(self.n_trees)[trees]], self.tree_output[trees]
        )

    def append(self, *trees: Tree, tree_output: Any = None) -> "Forest":
        """A forest with more trees at the end; collect trees in a list where there are many."""
        if tree_output is None:
            vectors = self.value.shape[1] == self.n_outputs > 1
            outputs = np.arange(self.n_trees, self.n_trees + len(trees)) % self.n_outputs
            tree_output = np.full(len(trees), -1) if vectors else outputs
        return self.with_trees([*self.trees(), *trees], [*self.tree_output, *tree_output])

    def with_trees(self, trees: Sequence[Tree], tree_output: Any = None) -> "Forest":
        """A forest like this one, of other trees; `tree_output` as in `concat`."""
        kept = (
            "n_features",
            "n_outputs",
            "base_score",
            "average",
            "feature_names",
            "float32_input",
            "metadata",
        )
        return Forest.concat(
            trees, tree_output=tree_output, **{name: getattr(self, name) for name in kept}
        )

    def predict(
        self, X: Any, *, first_tree: int = 0, n_trees: int | None = None, absent: float = 0.0
    ) -> Any:
        """Margins: base_score plus what the trees give, before any link function.

        Args:
            X: (rows, n_features), an array or a SciPy CSR or CSC matrix; NaN is missing. A float32
                or float64 array on a CUDA device (of torch, CuPy, JAX or `pyllm.cuda.to_device`)
                is predicted there.
            first_tree, n_trees: use [first_tree, first_tree + n_trees); default: all from there.
            absent: what entries count as that a sparse matrix does not store: 0, or NaN as in
                XGBoost.

        Returns:
            (rows, n_outputs) float64, where X is. Each is summed in the order of the trees, so the
            same bits come out at any number of threads, on any instruction set and on a device.

        Raises:
            ValueError: X has another shape or holds no numbers; trees that are not there.
        """
        trees = self._range(first_tree, n_trees)
        if (device := device_of_rows(X)) is not None:
            return predict_on_device(self, X, device, trees)
        matrix = read_matrix(X, self.n_features, absent=absent)
        return margins(self, matrix, trees)

    def leaves(self, X: Any, *, absent: float = 0.0) -> Any:
        """(rows, n_trees) int32: the leaf that a row reaches, as an index within the tree.

        Raises:
            ValueError: as `predict`.
        """
        if (device := device_of_rows(X)) is not None:
            return predict_on_device(self, X, device, range(self.n_trees), leaves=True)
        matrix = read_matrix(X, self.n_features, absent=absent)
        return find_leaves(self, matrix, range(self.n_trees))

    def staged(
        self, X: Any, *, step: int | None = None, absent: float = 0.0
    ) -> Iterator[np.ndarray]:
        """Margins after every `step` trees (default: one round, a tree for each output).

        Returns:
            An iterator over (rows, n_outputs) float64, as `predict` of the first trees gives; the
            last one is for all trees.

        Raises:
            ValueError: as `predict`, or `step` is below 1.
        """
        if step is None:
            step = 1 if self.value.shape[1] == self.n_outputs else self.n_outputs
        if step < 1:
            raise ValueError(f"step: expected at least 1, got {step}")
        matrix = read_matrix(X, self.n_features, absent=absent)
        return staged_margins(self, matrix, step)

    def shap(
        self,
        X: Any,
        *,
        interactions: bool = False,
        weight: str | None = None,
        absent: float = 0.0,
    ) -> np.ndarray:
        """What each feature adds to each margin: TreeSHAP, path-dependent.

        Lundberg, Erion and Lee 2018, "Consistent individualized feature attribution for tree
        ensembles": Shapley values of the game in which an unknown feature sends a row both ways,
        in the shares of the training weight.

        Args:
            X: as in `predict`.
            interactions: split every value among pairs of features (the same paper, section 4).
            weight: "count" (training rows, as LightGBM and scikit-learn weigh), "cover" (sums of
                hessians, as XGBoost does); default: counts where the forest has them.
            absent: as in `predict`.

        Returns:
            (rows, n_outputs, n_features + 1) float64, the expected margin last: the sum over that
            axis is the margin. With interactions (rows, n_outputs, n_features + 1,
            n_features + 1), symmetric; the sum over the last axis is the value of a feature.

        Raises:
            ValueError: as `predict`; another `weight`; trees deeper than 1024.
        """
        matrix = read_matrix(X, self.n_features, absent=absent)
        return shap(self, matrix, weight, interactions=interactions)

    def partial_dependence(
        self, features: int | Sequence[int], points: Any, *, weight: str | None = None
    ) -> np.ndarray:
        """The mean margin where some features are known, as exactly as the trees know it.

        Friedman 2001, "Greedy function approximation: a gradient boosting machine", section 8.2:
        where a tree splits on another feature, both sides count, in the shares of the training
        weight. No rows are needed, and nothing is sampled.

        Args:
            features: the known features; none gives the expected margin.
            points: (n_points, n_known), or (n_points,) of one feature: their values. NaN is
                missing.
            weight: as in `shap`.

        Returns:
            (n_points, n_outputs) float64.

        Raises:
            ValueError: features that are not there or not different, points of another shape.
        """
        known = [features] if isinstance(features, (int, np.integer)) else list(features)
        return partial_dependence(self, known, points, weight)

    def importance(self, kind: str = "gain") -> np.ndarray:
        """(n_features,) float64: what the splits on each feature say about it.

        Args:
            kind: "split" counts them; "total_gain" and "total_cover" add up their gain and cover,
                "gain" and "cover" are the means a split.

        Raises:
            ValueError: another kind.
        """
        return importance(self, kind)

    def dump(self, tree: int | None = None) -> str:
        """Every tree, or one, as indented text with the features' names; the branch for which a
        condition holds comes first.

        Raises:
            IndexError: there is no such tree.
        """
        return dump(self, tree)

    def to_columns(self) -> dict[str, np.ndarray]:
        """A row a node, for `pandas.DataFrame(forest.to_columns())`."""
        return to_columns(self)

    def trees_of_outputs(self, trees: range) -> np.ndarray:
        """(n_outputs,) how many of `trees` add to each output, and 1 where none does."""
        outputs = self.tree_output[trees.start : trees.stop]
        counts = np.bincount(outputs[outputs >= 0], minlength=self.n_outputs)
        return np.maximum(counts + np.count_nonzero(outputs < 0), 1)

    def _range(self, first_tree: int, n_trees: int | None) -> range:
        if not 0 <= first_tree <= self.n_trees:
            raise ValueError(f"first_tree: expected 0 to {self.n_trees}, got {first_tree}")
        left = self.n_trees - first_tree
        if n_trees is None:
            n_trees = left
        if not 0 <= n_trees <= left:
            raise ValueError(f"n_trees: expected 0 to {left} from tree {first_tree}, got {n_trees}")
        return range(first_tree, first_tree + n_trees)

    def __eq__(self, other: object) -> bool:
        """Same trees, same numbers, same names."""
        if not isinstance(other, Forest):
            return NotImplemented
        for f in fields(self):
            if not f.compare:
                continue
            ours, theirs = getattr(self, f.name), getattr(other, f.name)
            same = np.array_equal(ours, theirs) if isinstance(ours, np.ndarray) else ours == theirs
            if not same:
                return False
        return True

    __hash__ = None  # type: ignore[assignment]
