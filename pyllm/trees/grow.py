"""One tree from gradients and hessians."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from pyllm import _cpu, cuda
from pyllm.device_array import is_on_device
from pyllm.trees.categories import category_fields
from pyllm.trees.checks import require_number, require_whole
from pyllm.trees.dataset import Dataset
from pyllm.trees.device import check_tree, kernels_on
from pyllm.trees.leaf_values import set_medians
from pyllm.trees.tree import Tree

_COUNTS = (
    "max_depth",
    "max_leaves",
    "min_child_samples",
    "min_split_samples",
    "max_onehot",
    "min_category_samples",
    "min_group_samples",
)
_NOT_NEGATIVE = (
    "reg_lambda",
    "reg_alpha",
    "gamma",
    "min_child_weight",
    "max_delta_step",
    "cat_smooth",
    "cat_l2",
)


@dataclass(frozen=True)
class TreeParameters:
    """How a tree is grown.

    A split must lower the objective (Chen and Guestrin, "XGBoost", 2016) by more than gamma / 2:
    with G and H the sums of gradients and hessians in a leaf, its value is
    w = -T(G) / (H + reg_lambda), T the soft threshold by reg_alpha, limited to max_delta_step, and
    the gain of a split is T(G)^2 / (H + reg_lambda) of both children less that of the parent.

    The other criteria are likelihoods of rows whose gradients are -weight * y and whose hessians
    are weight, which leaves predict the mean of: "poisson" of counts, "multinomial" of outputs of
    0 and 1 that stand for a class each, "bernoulli" of one such output for two classes. The gain
    is by how much a split raises the log-likelihood; reg_lambda, reg_alpha and max_delta_step do
    not enter it. "absolute" reads the same gradients; leaves predict medians, and the gain is by
    how much a split lowers the sum of the absolute errors. It takes n log n steps a node and
    feature, since medians are not to be had from histograms.

    Attributes:
        criterion: "newton", or one of these.
        growth: "leafwise" splits the leaf of the highest gain next, "depthwise" level by level.
        max_depth: edges from the root to a leaf; 0 or None: no limit.
        max_leaves: 0 or None: no limit.
        reg_lambda, reg_alpha: L2 and L1 penalty of leaf values.
        gamma: what a split must gain.
        min_child_weight: least hessian sum of a child.
        min_child_samples: fewest rows of a child.
        min_split_samples: fewest rows of a node that is split.
        max_delta_step: largest absolute leaf value; 0: no limit.
        colsample_bytree, colsample_bylevel, colsample_bynode: share of the features to draw from,
            at least one feature, by tree, of these by level, of these by node.
        monotone: (n_features,) of 1 (rising), -1 (falling), 0.
        interaction: sets of features; the features on the way from the root to a leaf lie within
            one of them. A feature in none may only meet itself. None: no limit.
        cat_smooth, cat_l2: the subset of categories on one side is searched in the order of
            G / (H + cat_smooth), with cat_l2 added to reg_lambda in its gain.
        max_cat_threshold: most categories of the smaller side of a split.
        min_category_samples: categories of fewer rows in a node stay on the right.
        min_group_samples: fewest rows by which two subsets that are tried differ, and that are left
            on the right. Both count rows by their share of the hessians.
        max_onehot: features of up to this many categories part one from all others instead.
        quantized: choose splits by gradients rounded at random to 15 levels (Shi et al., "Quantized
            Training of Gradient Boosting Decision Trees", 2022); leaf values are exact.
        extra_random: try one cut a feature and node, drawn between the least and the greatest bin
            that occur (Geurts et al., "Extremely randomized trees", 2006).

    Raises:
        ValueError: a setting out of range.
    """

    criterion: Literal["newton", "poisson", "multinomial", "bernoulli", "absolute"] = "newton"
    growth: Literal["leafwise", "depthwise"] = "leafwise"
    max_depth: int | None = None
    max_leaves: int | None = 31
    reg_lambda: float = 1.0
    reg_alpha: float = 0.0
    gamma: float = 0.0
    min_child_weight: float = 1e-3
    min_child_samples: int = 1
    min_split_samples: int = 2
    max_delta_step: float = 0.0
    colsample_bytree: float = 1.0
    colsample_bylevel: float = 1.0
    colsample_bynode: float = 1.0
    monotone: Sequence[int] | None = None
    interaction: Sequence[Iterable[int]] | None = None
    cat_smooth: float = 10.0
    cat_l2: float = 10.0
    max_cat_threshold: int = 16
    min_category_samples: int = 20
    min_group_samples: int = 100
    max_onehot: int = 4
    quantized: bool = False
    extra_random: bool = False

    def __post_init__(self) -> None:
        if self.growth not in ("leafwise", "depthwise"):
            raise ValueError(f"growth: expected leafwise or depthwise, got {self.growth!r}")
        if self.criterion not in _cpu.TreeCriterion.__members__:
            known = ", ".join(_cpu.TreeCriterion.__members__)
            raise ValueError(f"criterion: expected one of {known}, got {self.criterion!r}")
        if self.quantized and self.criterion != "newton":
            raise ValueError("quantized: expected False for criteria other than newton")
        if self.monotone is not None and self.criterion == "absolute":
            raise ValueError("monotone: expected None for criterion absolute")
        for name in _COUNTS:
            value = getattr(self, name)
            if value is not None:
                require_whole(name, value, 0, (1 << 31) - 1)
        for name in _NOT_NEGATIVE:
            value = getattr(self, name)
            require_number(name, value)
            if not 0 <= value < np.inf:
                raise ValueError(f"{name}: expected 0 or more, got {value}")
        require_whole("max_cat_threshold", self.max_cat_threshold, 1, (1 << 31) - 1)
        for name in ("colsample_bytree", "colsample_bylevel", "colsample_bynode"):
            value = getattr(self, name)
            require_number(name, value)
            if not 0 < value <= 1:
                raise ValueError(f"{name}: expected above 0, at most 1, got {value}")

    def options(self, n_features: int, device: str = "cpu") -> "_cpu.TreeOptions":
        """The same for the extension that serves a device.

        Raises:
            ValueError: a setting that does not fit data of `n_features` features, or that growing
                on a device does not have.
        """
        if device != "cpu":
            check_tree(self, device)
        kernels = kernels_on(device)
        options: _cpu.TreeOptions = kernels.TreeOptions()
        options.criterion = kernels.TreeCriterion.__members__[self.criterion]
        options.leafwise = self.growth == "leafwise"
        options.max_depth = self.max_depth or 0
        options.max_leaves = self.max_leaves or 0
        options.l1, options.l2 = self.reg_alpha, self.reg_lambda
        options.max_delta_step = self.max_delta_step
        options.min_gain = self.gamma
        options.min_child_weight = self.min_child_weight
        options.min_child_samples = self.min_child_samples
        options.min_split_samples = self.min_split_samples
        if self.monotone is not None:
            monotone = np.asarray(self.monotone)
            if monotone.shape != (n_features,) or not np.isin(monotone, (-1, 0, 1)).all():
                raise ValueError(f"monotone: expected {n_features} of -1, 0 and 1")
            options.monotone = monotone.tolist()
        options.share_by_tree = self.colsample_bytree
        options.share_by_level = self.colsample_bylevel
        options.share_by_node = self.colsample_bynode
        options.extra_random = self.extra_random
        options.category_smooth, options.category_l2 = self.cat_smooth, self.cat_l2
        options.max_cat_threshold = self.max_cat_threshold
        options.max_onehot = self.max_onehot
        options.min_category_samples = self.min_category_samples
        options.min_group_samples = self.min_group_samples
        if self.interaction is not None:
            options.interaction = _interaction_sets(self.interaction, n_features)
        return options


def _interaction_sets(sets: Sequence[Iterable[int]], n_features: int) -> list[list[int]]:
    """Sorted, and one more for each feature that is in none."""
    given = [sorted({int(f) for f in features}) for features in sets]
    known = {f for features in given for f in features}
    outside = sorted(known - set(range(n_features)))
    if outside:
        raise ValueError(
            f"interaction: expected features from 0 to {n_features - 1}, got {outside[0]}"
        )
    return given + [[f] for f in range(n_features) if f not in known]


@dataclass(frozen=True)
class Grown:
    """A tree and where the rows of its data set are.

    Attributes:
        tree: the learning rate is not applied.
        leaf_of_row: (n_samples,) int32, the node of the leaf of every row, whether or not it took
            part; on the device where the gradient was there.
    """

    tree: Tree
    leaf_of_row: Any


def grow_tree(
    dataset: Dataset,
    gradient: Any,
    hessian: Any,
    parameters: TreeParameters,
    *,
    seed: int = 0,
    rows: Any = None,
) -> Grown:
    """Grow a tree on the gradients of a loss.

    The same arguments give bitwise the same tree at any number of threads and on any instruction
    set: splits are chosen by integer sums of gradients in fixed point. Ctrl-C stops between splits.

    Args:
        dataset: the features.
        gradient, hessian: (n_samples,), or (n_samples, n_outputs) for one tree whose leaves are
            vectors and whose gains are summed over outputs; converted to float32. Weights are
            multiplied in. On the device of the data set, or on the CPU.
        parameters: how to grow.
        seed: of whatever is drawn at random.
        rows: (n,) rising row numbers, the rows that take part. Default: all.

    Raises:
        ValueError: shapes that do not match the data set, values that are not finite, no rows;
            gradients above 0, or below -hessian, that no likelihood has.
    """
    if dataset.n_samples == 0:
        raise ValueError("dataset: expected at least one row")
    require_whole("seed", seed, 0, (1 << 64) - 1)
    g, h = _derivative(gradient, dataset.device), _derivative(hessian, dataset.device)
    if g.ndim not in (1, 2) or g.shape[0] != dataset.n_samples or 0 in g.shape:
        n = dataset.n_samples
        raise ValueError(f"gradient: expected shape ({n},) or ({n}, outputs), got {g.shape}")
    if h.shape != g.shape:
        raise ValueError(f"hessian: expected the shape of gradient, {g.shape}, got {h.shape}")
    if h.strides != g.strides:
        g, h = g.copy(), h.copy()
    options = parameters.options(dataset.n_features, dataset.device)
    if parameters.criterion not in ("newton", "absolute"):
        _check_likelihood(parameters.criterion, g, h)
    grown = kernels_on(dataset.device).tree_grow(
        dataset._bins,
        g.reshape(dataset.n_samples, -1) if g.ndim == 1 else g,
        h.reshape(dataset.n_samples, -1) if h.ndim == 1 else h,
        None if rows is None else np.ascontiguousarray(rows, np.int32),
        options,
        seed,
        parameters.quantized,
    )
    leaf_of_row = grown.pop("leaf_of_row")
    if is_on_device(leaf_of_row) and not is_on_device(gradient):
        leaf_of_row = leaf_of_row.numpy()
    threshold = _thresholds(dataset, grown["feature"], grown.pop("bin"))
    categories = category_fields(
        dataset.categories, grown["feature"], grown.pop("category_offset"), grown.pop("categories")
    )
    tree = Tree(threshold=threshold, **grown, **categories)
    if parameters.criterion == "absolute":
        weight = np.asarray(h.reshape(dataset.n_samples, -1), np.float64)
        target = -np.divide(g.reshape(weight.shape), weight, where=weight > 0, out=weight * 0)
        set_medians(tree, leaf_of_row, target, np.ascontiguousarray(weight[:, 0]), rows)
    return Grown(tree, leaf_of_row)


def _check_likelihood(criterion: str, gradient: np.ndarray, hessian: np.ndarray) -> None:
    if (gradient > 0).any():
        raise ValueError(f"gradient: expected none above 0 (-weight * y) for {criterion}")
    if criterion != "poisson" and (gradient < -hessian).any():
        raise ValueError(f"gradient: expected -hessian or more (y up to 1) for {criterion}")


def edges_of(dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """The cuts after the bins of all features; and where each feature's begin, and the end.

    After a feature's last bin it is infinity, which only missing values are beyond.
    """
    edges = np.concatenate([*(np.append(cuts, np.inf) for cuts in dataset.cuts), [np.inf]])
    return edges, np.cumsum([0, *(len(cuts) + 1 for cuts in dataset.cuts)], dtype=np.int64)


def _derivative(given: Any, device: str) -> Any:
    """float32, on the device."""
    if is_on_device(given):
        return given
    array = np.asarray(given, np.float32)
    return array if device == "cpu" else cuda.move(array, device)


def _thresholds(dataset: Dataset, feature: np.ndarray, bins: np.ndarray) -> np.ndarray:
    """The cut after a bin."""
    threshold = np.zeros(len(feature))
    numerical = np.array([known is None for known in dataset.categories], np.bool_)
    split = np.flatnonzero(feature >= 0)
    split = split[numerical[feature[split]]]
    edges, first = edges_of(dataset)
    threshold[split] = edges[first[feature[split]] + bins[split]]
    return threshold
