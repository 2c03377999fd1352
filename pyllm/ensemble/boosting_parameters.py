"""The parameters that all gradient boosting estimators take, and what the engine makes of them."""

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any, Literal

import numpy as np

from pyllm.ensemble.constraints import interaction_sets, monotone_signs
from pyllm.ensemble.prebinned import BinnedTrees
from pyllm.ensemble.tables import Categorical
from pyllm.trees.boost_parameters import BoostParameters
from pyllm.trees.metric import Metric, make_metric
from pyllm.trees.objective import Objective
from pyllm.trees.tree_parameters import TreeParameters
from pyllm.trees.watch import Callback

RandomState = int | np.random.RandomState | None


class BoostingParameters(BinnedTrees):
    """Base of the gradient boosting estimators, with the parameters that they all take.

    Parameters
    ----------
    loss : str, Objective, callable or None, default=None
        What is minimised; each estimator lists its losses and says what None is. A function
        ``f(y_true, margin) -> (gradient, hessian)`` is a loss of your own.
    n_estimators : int, default=100
        Rounds of boosting. A round grows a tree, or one for each class or target.
    learning_rate : float, list of floats or callable, default=0.1
        What a tree's values are multiplied with: one number, one for each round, or a function of
        the round (counted from 0).
    growth : {"leafwise", "depthwise"}, default="leafwise"
        Split the leaf with the highest gain next, or level by level.
    max_leaf_nodes : int or None, default=31
        Leaves of a tree. None: no limit.
    max_depth : int or None, default=None
        Edges from the root to a leaf. None: no limit.
    min_samples_leaf : int, default=20
        Fewest training rows in a leaf.
    min_child_weight : float, default=1e-3
        Least sum of hessians in a leaf.
    reg_lambda, reg_alpha : float, default=1.0 and 0.0
        L2 and L1 penalty on leaf values.
    gamma : float, default=0.0
        What a split must gain to be made.
    max_delta_step : float, default=0.0
        Largest absolute value of a leaf before the learning rate. 0: no limit.
    subsample : float, default=1.0
        Share of the rows that each round draws, without replacement.
    sampling : {"uniform", "goss"}, default="uniform"
        "goss": gradient-based one-side sampling, which keeps the `top_rate` share of the rows with
        the largest gradients and `other_rate` of the rest, weighted up.
    top_rate, other_rate : float, default=0.2 and 0.1
    colsample_bytree, colsample_bylevel, colsample_bynode : float, default=1.0
        Share of the features that each tree, level and node draws from the one before.
    max_bin : int, default=255
        Bins of a feature, up to 65535.
    enable_bundle : bool, default=True
        Keep sparse features that exclude each other in one column, as one-hot ones do: less memory
        and time, the same model.
    booster : {"gbtree", "dart"}, default="gbtree"
        "dart" drops trees at random in each round (Vinayak & Gilad-Bachrach, 2015).
    rate_drop, skip_drop : float, default=0.1 and 0.5
        DART: probability that a round drops a tree; that it drops none at all.
    one_drop : bool, default=False
        DART: drop one at least, unless the round skips dropping.
    normalize_type : {"tree", "forest"}, default="tree"
    sample_type : {"uniform", "weighted"}, default="uniform"
        DART: as in XGBoost.
    multi_output : {"per_output", "vector"}, default="per_output"
        Several classes or targets: a tree for each, or trees whose leaves hold a value for each.
    first_order : bool, default=False
        Friedman's classic boosting: least-squares trees on the negative gradients, and a line
        search in each leaf.
    quantized : bool, default=False
        Grow trees on gradients of few bits with stochastic rounding: faster, a little coarser.
    monotonic_cst : list of int, dict or None, default=None
        1: the prediction must not fall with the feature, -1: must not rise, 0: free. A dict maps
        names of features.
    interaction_cst : list of sets of features, "pairwise", "no_interactions" or None, default=None
        Features, by number or name, that may be used together along a path.
    categorical_features : "from_dtype", list of features, mask or None, default="from_dtype"
        Which features are categories: those of a categorical dtype (pandas category, Polars
        Categorical or Enum, Arrow dictionary), or those named here.
    max_onehot : int, default=4
        A feature of up to this many categories parts one of them from the others.
    cat_smooth, cat_l2, max_cat_threshold : float, float and int, default=10.0, 10.0 and 16
        With more of them, subsets are searched in the order of gradient / (hessian + cat_smooth),
        with cat_l2 added to reg_lambda and at most max_cat_threshold categories on the smaller
        side, as in LightGBM.
    min_category_samples, min_group_samples : int or None, default=None
        Categories of fewer rows in a node stay with the missing ones, and subsets are tried so many
        rows apart: what keeps features of many categories from overfitting. None: 20 and 100, or a
        fiftieth and a twentieth of the training rows where these are fewer.
    class_weight : dict, "balanced" or None, default=None
        Classifiers: weights of classes, multiplied into sample weights.
    metric : str, callable, Metric, or list of them, default=None
        What is measured on eval sets; None: what suits the loss. See `pyllm.trees.metric`.
    early_stopping_rounds : int or None, default=None
        Stop when the first metric on the last eval set got no better for so many rounds, and keep
        the rounds up to the best. Without an eval set, `validation_fraction` of the rows is held
        out.
    min_delta : float, default=0.0
        What counts as better.
    validation_fraction : float, default=0.1
    warm_start : bool, default=False
        fit() again goes on from the last model: n_estimators counts all rounds.
    callbacks : list of pyllm.trees.watch.Callback, or None, default=None
    device : {"cpu", "cuda", "cuda:N"}, default="cpu"
        Where trees are grown. The model is the same, bit for bit. What a device does not have is an
        error: categorical features, sparse X, "goss", "dart", first_order, losses that renew the
        values of leaves (absolute, quantile and Huber with its own delta), more than 9999 bins.
    random_state : int, RandomState or None, default=None
        The same number gives the same model, bit for bit, whatever n_jobs is.
    n_jobs : int or None, default=None
        Threads; None: as many as pyllm uses elsewhere, -1: all.
    verbose : bool, default=False
        Show a progress bar.

    Attributes
    ----------
    forest_ : pyllm.trees.Forest
        The model.
    n_iter_ : int
        Rounds in it.
    evals_result_ : dict
        By eval set and metric, the value after each round.
    objective_ : pyllm.trees.objective.Objective
    feature_importances_ : ndarray of shape (n_features,)
    n_features_in_, feature_names_in_
    """

    def __init__(
        self,
        *,
        loss: str | Objective | Callable[..., Any] | None = None,
        n_estimators: int = 100,
        learning_rate: float | Sequence[float] | Callable[[int], float] = 0.1,
        growth: Literal["leafwise", "depthwise"] = "leafwise",
        max_leaf_nodes: int | None = 31,
        max_depth: int | None = None,
        min_samples_leaf: int = 20,
        min_child_weight: float = 1e-3,
        reg_lambda: float = 1.0,
        reg_alpha: float = 0.0,
        gamma: float = 0.0,
        max_delta_step: float = 0.0,
        subsample: float = 1.0,
        sampling: Literal["uniform", "goss"] = "uniform",
        top_rate: float = 0.2,
        other_rate: float = 0.1,
        colsample_bytree: float = 1.0,
        colsample_bylevel: float = 1.0,
        colsample_bynode: float = 1.0,
        max_bin: int = 255,
        enable_bundle: bool = True,
        booster: Literal["gbtree", "dart"] = "gbtree",
        rate_drop: float = 0.1,
        skip_drop: float = 0.5,
        one_drop: bool = False,
        normalize_type: Literal["tree", "forest"] = "tree",
        sample_type: Literal["uniform", "weighted"] = "uniform",
        multi_output: Literal["per_output", "vector"] = "per_output",
        first_order: bool = False,
        quantized: bool = False,
        monotonic_cst: Any = None,
        interaction_cst: Any = None,
        categorical_features: Categorical = "from_dtype",
        max_onehot: int = 4,
        cat_smooth: float = 10.0,
        cat_l2: float = 10.0,
        max_cat_threshold: int = 16,
        min_category_samples: int | None = None,
        min_group_samples: int | None = None,
        class_weight: Any = None,
        metric: Any = None,
        early_stopping_rounds: int | None = None,
        min_delta: float = 0.0,
        validation_fraction: float = 0.1,
        warm_start: bool = False,
        callbacks: Sequence[Callback] | None = None,
        device: str = "cpu",
        random_state: RandomState = None,
        n_jobs: int | None = None,
        verbose: bool = False,
    ) -> None:
        self.loss = loss
        self.n_estimators = n_estimators
        self.learning_rate = learning_rate
        self.growth = growth
        self.max_leaf_nodes = max_leaf_nodes
        self.max_depth = max_depth
        self.min_samples_leaf = min_samples_leaf
        self.min_child_weight = min_child_weight
        self.reg_lambda = reg_lambda
        self.reg_alpha = reg_alpha
        self.gamma = gamma
        self.max_delta_step = max_delta_step
        self.subsample = subsample
        self.sampling = sampling
        self.top_rate = top_rate
        self.other_rate = other_rate
        self.colsample_bytree = colsample_bytree
        self.colsample_bylevel = colsample_bylevel
        self.colsample_bynode = colsample_bynode
        self.max_bin = max_bin
        self.enable_bundle = enable_bundle
        self.booster = booster
        self.rate_drop = rate_drop
        self.skip_drop = skip_drop
        self.one_drop = one_drop
        self.normalize_type = normalize_type
        self.sample_type = sample_type
        self.multi_output = multi_output
        self.first_order = first_order
        self.quantized = quantized
        self.monotonic_cst = monotonic_cst
        self.interaction_cst = interaction_cst
        self.categorical_features = categorical_features
        self.max_onehot = max_onehot
        self.cat_smooth = cat_smooth
        self.cat_l2 = cat_l2
        self.max_cat_threshold = max_cat_threshold
        self.min_category_samples = min_category_samples
        self.min_group_samples = min_group_samples
        self.class_weight = class_weight
        self.metric = metric
        self.early_stopping_rounds = early_stopping_rounds
        self.min_delta = min_delta
        self.validation_fraction = validation_fraction
        self.warm_start = warm_start
        self.callbacks = callbacks
        self.device = device
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.verbose = verbose

    def _boost_parameters(self, seed: int) -> BoostParameters:
        given = {f.name: getattr(self, f.name) for f in fields(BoostParameters) if f.name != "seed"}
        return BoostParameters(**given, seed=seed)

    def _tree_parameters(self, shape: tuple[int, int]) -> TreeParameters:
        n, n_features = shape
        names = self._names()
        least, group = self.min_category_samples, self.min_group_samples
        return TreeParameters(
            growth=self.growth,
            max_depth=self.max_depth,
            max_leaves=self.max_leaf_nodes,
            min_child_samples=self.min_samples_leaf,
            min_child_weight=self.min_child_weight,
            reg_lambda=self.reg_lambda,
            reg_alpha=self.reg_alpha,
            gamma=self.gamma,
            max_delta_step=self.max_delta_step,
            max_onehot=self.max_onehot,
            cat_smooth=self.cat_smooth,
            cat_l2=self.cat_l2,
            max_cat_threshold=self.max_cat_threshold,
            min_category_samples=min(20, n // 50) if least is None else least,
            min_group_samples=min(100, n // 20) if group is None else group,
            colsample_bytree=self.colsample_bytree,
            colsample_bylevel=self.colsample_bylevel,
            colsample_bynode=self.colsample_bynode,
            monotone=monotone_signs(self.monotonic_cst, names),
            interaction=interaction_sets(self.interaction_cst, n_features, names),
            quantized=self.quantized,
        )

    def _metrics(self, objective: Objective) -> list[Metric]:
        given = self.metric
        if given is None:
            given = [objective.metric]
        if not isinstance(given, (list, tuple)):
            given = [given]
        return [make_metric(m) for m in given]
