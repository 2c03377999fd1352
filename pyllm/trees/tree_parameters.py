"""How a tree is grown: the settings, checked, and as the extension takes them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pyllm import _cpu
from pyllm.trees.checks import require_number, require_whole
from pyllm.trees.device import kernels_on, refuse

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
            self._check_device(device)
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

    def _check_device(self, device: str) -> None:
        if self.extra_random:
            refuse("extra_random", "random cuts are", device)
        if self.criterion != "newton":
            refuse("criterion", f"{self.criterion!r} is", device)


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
