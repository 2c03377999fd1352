"""Forests of trees grown apart and averaged."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from sklearn.metrics import r2_score

from pyllm.ensemble.averaging import AveragedTrees, FloatArray
from pyllm.ensemble.averaging_classifier import AveragedClassifier
from pyllm.ensemble.averaging_regressor import AveragedRegressor
from pyllm.ensemble.out_of_bag import OutOfBag
from pyllm.ensemble.resampling import Bootstrap
from pyllm.ensemble.tables import Categorical
from pyllm.trees.bar import Bar
from pyllm.trees.checks import require_whole


class _RandomForest(AveragedTrees):
    """
    Parameters
    ----------
    n_estimators : int, default=100
        Trees.
    criterion : str, default="auto"
        What splits lower. Classification: "gini" ("auto"), or "entropy", also called "log_loss".
        Regression: "squared_error" ("auto"); "poisson", half the deviance of counts, where no leaf
        predicts 0; "absolute_error", with medians in leaves, exact and therefore slower.
    max_depth, max_leaf_nodes : int or None, default=None
        Edges from the root to a leaf, and leaves. None: no limit.
    min_samples_split : int or float, default=2
        Fewest training rows of a node that is split; a float is a share of all rows.
    min_samples_leaf : int or float, default=1
        Fewest training rows in a leaf, drawn ones counted once; a float is a share of all rows.
    min_weight_fraction_leaf : float, default=0.0
        Least share of the weights of a tree's rows in a leaf.
    min_impurity_decrease : float, default=0.0
        What a split must lower the impurity by, weighed with the node's share of the rows.
    ccp_alpha : float, default=0.0
        Minimal cost-complexity pruning: splits that lower the impurity by less than this for each
        leaf they add are cut off again (see `pyllm.trees.prune`).
    max_features : "auto", "sqrt", "log2", int, float or None, default="auto"
        Features that each node draws to look for its split; None: all; "auto": "sqrt" for
        classification, all for regression.
    bootstrap : bool
        Draw the rows of each tree with replacement. Default: True for random forests, False for
        extremely randomised trees. The draw goes by what rows hold, not by where they stand: see
        `pyllm.ensemble.resampling`.
    max_samples : int, float or None, default=None
        Rows that each tree draws: how many, or a share of all.
    oob_score : bool, default=False
        Measure the forest on the rows that each tree did not draw.
    class_weight : dict, "balanced" or None, default=None
        Classifiers: weights of classes, multiplied into sample weights.
    max_bin : int, default=255
        Bins of a feature, up to 65535: splits are looked for between bins.
    enable_bundle : bool, default=True
        Keep sparse features that exclude each other in one column, as one-hot ones do: less memory
        and time, the same trees.
    monotonic_cst : list of int, dict or None, default=None
        1: the prediction must not fall with the feature, -1: must not rise, 0: free. A dict maps
        names of features.
    categorical_features : "from_dtype", list of features, mask or None, default="from_dtype"
        Which features are categories: those of a categorical dtype, or those named here.
    warm_start : bool, default=False
        fit() again keeps the trees and grows up to n_estimators.
    random_state : int, RandomState or None, default=None
        The same number gives the same forest, bit for bit, whatever n_jobs is.
    n_jobs : int or None, default=None
        Threads; None: as many as pyllm uses elsewhere, -1: all.
    verbose : bool, default=False
        Show a progress bar.

    Attributes
    ----------
    forest_ : pyllm.trees.Forest
    oob_score_ : float
        Accuracy, or R^2, on rows out of the bag. Rows that every tree drew are left out.
    oob_decision_function_ : (n_samples, n_classes), oob_prediction_ : (n_samples,) or
        (n_samples, n_targets); NaN in rows that every tree drew.
    classes_, n_classes_, n_features_in_, feature_names_in_, feature_importances_
    """

    def __init__(
        self,
        *,
        n_estimators: int = 100,
        criterion: str = "auto",
        max_depth: int | None = None,
        max_leaf_nodes: int | None = None,
        min_samples_split: int | float = 2,
        min_samples_leaf: int | float = 1,
        min_weight_fraction_leaf: float = 0.0,
        min_impurity_decrease: float = 0.0,
        ccp_alpha: float = 0.0,
        max_features: Any = "auto",
        bootstrap: bool = True,
        max_samples: int | float | None = None,
        oob_score: bool = False,
        class_weight: Any = None,
        max_bin: int = 255,
        enable_bundle: bool = True,
        monotonic_cst: Any = None,
        categorical_features: Categorical = "from_dtype",
        warm_start: bool = False,
        random_state: Any = None,
        n_jobs: int | None = None,
        verbose: bool = False,
    ) -> None:
        self.n_estimators = n_estimators
        self.criterion = criterion
        self.max_depth = max_depth
        self.max_leaf_nodes = max_leaf_nodes
        self.min_samples_split = min_samples_split
        self.min_samples_leaf = min_samples_leaf
        self.min_weight_fraction_leaf = min_weight_fraction_leaf
        self.min_impurity_decrease = min_impurity_decrease
        self.ccp_alpha = ccp_alpha
        self.max_features = max_features
        self.bootstrap = bootstrap
        self.max_samples = max_samples
        self.oob_score = oob_score
        self.class_weight = class_weight
        self.max_bin = max_bin
        self.enable_bundle = enable_bundle
        self.monotonic_cst = monotonic_cst
        self.categorical_features = categorical_features
        self.warm_start = warm_start
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.verbose = verbose

    def _count(self) -> int:
        """How many trees there will be."""
        require_whole("n_estimators", self.n_estimators, 1)
        there = len(self.forest_) if self._going_on() else 0
        if self.n_estimators < there:
            raise ValueError(
                f"n_estimators: expected at least the {there} trees there are, as warm_start is "
                f"set, got {self.n_estimators}"
            )
        return self.n_estimators

    def _going_on(self) -> bool:
        return self.warm_start and hasattr(self, "forest_")

    @contextmanager
    def _progress(self, trees: int) -> Iterator[Callable[[int], None] | None]:
        if not self.verbose:
            yield None
            return
        bar = Bar("tree", trees)
        bar.start()
        try:
            yield bar.update
        finally:
            bar.stop()

    def _draws(self, X: Any, columns: FloatArray, weight: FloatArray | None) -> Bootstrap | None:
        if self.bootstrap:
            return Bootstrap(X, columns, weight, self.max_samples)
        if self.oob_score:
            raise ValueError("oob_score: expected False where bootstrap is False")
        if self.max_samples is not None:
            raise ValueError("max_samples: expected None where bootstrap is False")
        return None

    def _out_of_bag(self, n: int, outputs: int) -> OutOfBag | None:
        if not self.oob_score:
            return None
        if self._going_on():
            raise ValueError("oob_score: expected False where warm_start goes on from a forest")
        return OutOfBag(n, outputs)


class _ExtraTrees(_RandomForest):
    """Each feature that a node looks at gets one cut at random instead of the best one."""

    extra_random = True

    def __init__(
        self,
        *,
        n_estimators: int = 100,
        criterion: str = "auto",
        max_depth: int | None = None,
        max_leaf_nodes: int | None = None,
        min_samples_split: int | float = 2,
        min_samples_leaf: int | float = 1,
        min_weight_fraction_leaf: float = 0.0,
        min_impurity_decrease: float = 0.0,
        ccp_alpha: float = 0.0,
        max_features: Any = "auto",
        bootstrap: bool = False,
        max_samples: int | float | None = None,
        oob_score: bool = False,
        class_weight: Any = None,
        max_bin: int = 255,
        enable_bundle: bool = True,
        monotonic_cst: Any = None,
        categorical_features: Categorical = "from_dtype",
        warm_start: bool = False,
        random_state: Any = None,
        n_jobs: int | None = None,
        verbose: bool = False,
    ) -> None:
        super().__init__(
            n_estimators=n_estimators,
            criterion=criterion,
            max_depth=max_depth,
            max_leaf_nodes=max_leaf_nodes,
            min_samples_split=min_samples_split,
            min_samples_leaf=min_samples_leaf,
            min_weight_fraction_leaf=min_weight_fraction_leaf,
            min_impurity_decrease=min_impurity_decrease,
            ccp_alpha=ccp_alpha,
            max_features=max_features,
            bootstrap=bootstrap,
            max_samples=max_samples,
            oob_score=oob_score,
            class_weight=class_weight,
            max_bin=max_bin,
            enable_bundle=enable_bundle,
            monotonic_cst=monotonic_cst,
            categorical_features=categorical_features,
            warm_start=warm_start,
            random_state=random_state,
            n_jobs=n_jobs,
            verbose=verbose,
        )


class _ForestClassifier(AveragedClassifier, _RandomForest):
    def _score_out_of_bag(
        self, columns: FloatArray, weight: FloatArray | None, bag: OutOfBag
    ) -> None:
        means, some = bag.means(), bag.some()
        p = np.full((len(means), self.n_classes_), np.nan)
        p[some] = self._probability(means[some])
        self.oob_decision_function_ = p
        target = columns.argmax(1) if columns.shape[1] > 1 else columns[:, 0]
        hit = p[some].argmax(1) == target[some]
        self.oob_score_ = float(np.average(hit, weights=None if weight is None else weight[some]))


class _ForestRegressor(AveragedRegressor, _RandomForest):
    def _score_out_of_bag(
        self, columns: FloatArray, weight: FloatArray | None, bag: OutOfBag
    ) -> None:
        means, some = bag.means(), bag.some()
        self.oob_prediction_ = means[:, 0] if means.shape[1] == 1 else means
        part = None if weight is None else weight[some]
        self.oob_score_ = float(r2_score(columns[some], means[some], sample_weight=part))


class RandomForestClassifier(_ForestClassifier, _RandomForest):
    """Trees on bootstrap draws of the rows (Breiman, 2001); probabilities are averaged."""


class RandomForestRegressor(_ForestRegressor, _RandomForest):
    """Trees on bootstrap draws of the rows (Breiman, 2001); predictions are averaged."""


class ExtraTreesClassifier(_ForestClassifier, _ExtraTrees):
    """Trees with random cuts (Geurts, Ernst & Wehenkel, 2006); probabilities are averaged."""


class ExtraTreesRegressor(_ForestRegressor, _ExtraTrees):
    """Trees with random cuts (Geurts, Ernst & Wehenkel, 2006); predictions are averaged."""


for _kind in (
    RandomForestClassifier,
    RandomForestRegressor,
    ExtraTreesClassifier,
    ExtraTreesRegressor,
):
    _kind.__doc__ = f"{_kind.__doc__}\n{_RandomForest.__doc__}"
