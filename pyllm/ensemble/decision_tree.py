"""Single trees."""

from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.utils import Bunch

from pyllm.ensemble.averaging import AveragedTrees
from pyllm.ensemble.averaging_classifier import AveragedClassifier
from pyllm.ensemble.averaging_regressor import AveragedRegressor
from pyllm.ensemble.learner import read_weight
from pyllm.ensemble.tables import Categorical
from pyllm.trees.prune import pruning_path


class _DecisionTree(AveragedTrees):
    """
    Parameters
    ----------
    criterion : str, default="auto"
        What splits lower. Classification: "gini" ("auto"), or "entropy", also called "log_loss".
        Regression: "squared_error" ("auto"); "poisson", half the deviance of counts, where no leaf
        predicts 0; "absolute_error", with medians in leaves, exact and therefore slower.
    max_depth : int or None, default=None
        Edges from the root to a leaf. None: no limit.
    max_leaf_nodes : int or None, default=None
        Leaves; the best splits are made first. None: no limit.
    min_samples_split : int or float, default=2
        Fewest training rows of a node that is split; a float is a share of all rows.
    min_samples_leaf : int or float, default=1
        Fewest training rows in a leaf; a float is a share of all rows.
    min_weight_fraction_leaf : float, default=0.0
        Least share of the weights of a tree's rows in a leaf.
    min_impurity_decrease : float, default=0.0
        What a split must lower the impurity by, weighed with the node's share of the rows.
    ccp_alpha : float, default=0.0
        Minimal cost-complexity pruning: splits that lower the impurity by less than this for each
        leaf they add are cut off again (see `pyllm.trees.prune`).
    max_features : "sqrt", "log2", int, float or None, default=None
        Features that each node draws to look for its split; None: all.
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
    random_state : int, RandomState or None, default=None
        Of the features drawn; the same number gives the same tree, bit for bit.
    n_jobs : int or None, default=None
        Threads; None: as many as pyllm uses elsewhere, -1: all.
    """

    def __init__(
        self,
        *,
        criterion: str = "auto",
        max_depth: int | None = None,
        max_leaf_nodes: int | None = None,
        min_samples_split: int | float = 2,
        min_samples_leaf: int | float = 1,
        min_weight_fraction_leaf: float = 0.0,
        min_impurity_decrease: float = 0.0,
        ccp_alpha: float = 0.0,
        max_features: Any = None,
        class_weight: Any = None,
        max_bin: int = 255,
        enable_bundle: bool = True,
        monotonic_cst: Any = None,
        categorical_features: Categorical = "from_dtype",
        random_state: Any = None,
        n_jobs: int | None = None,
    ) -> None:
        self.criterion = criterion
        self.max_depth = max_depth
        self.max_leaf_nodes = max_leaf_nodes
        self.min_samples_split = min_samples_split
        self.min_samples_leaf = min_samples_leaf
        self.min_weight_fraction_leaf = min_weight_fraction_leaf
        self.min_impurity_decrease = min_impurity_decrease
        self.ccp_alpha = ccp_alpha
        self.max_features = max_features
        self.class_weight = class_weight
        self.max_bin = max_bin
        self.enable_bundle = enable_bundle
        self.monotonic_cst = monotonic_cst
        self.categorical_features = categorical_features
        self.random_state = random_state
        self.n_jobs = n_jobs

    def cost_complexity_pruning_path(self, X: Any, y: Any, sample_weight: Any = None) -> Bunch:
        """What `ccp_alpha` would leave of the tree that grows on these rows.

        Returns:
            ccp_alphas: (n_steps,) rising from 0, from which on a smaller tree is left;
            impurities: (n_steps,) those of their leaves, weighed by rows.
        """
        grown = clone(self).set_params(ccp_alpha=0.0).fit(X, y, sample_weight)
        matrix = grown._read(X, fitting=False)
        columns = grown._read_target(y)
        weight = grown._weigh(read_weight(sample_weight, matrix))
        each = np.ones(len(columns)) if weight is None else weight
        tree = grown.forest_.tree(0)
        leaf = grown.forest_.leaves(matrix)[:, 0]
        risk = grown._finishing(columns.shape[1]).risk(tree, leaf, columns, each)
        path = pruning_path(tree, risk)
        return Bunch(ccp_alphas=path.ccp_alphas, impurities=path.impurities)

    def get_depth(self) -> int:
        """Edges from the root to the deepest leaf."""
        tree = self.forest_.tree(0)
        depth = [0] * tree.n_nodes
        for node in range(tree.n_nodes):  # children come after their parent
            for child in (tree.left[node], tree.right[node]):
                if child >= 0:
                    depth[child] = depth[node] + 1
        return max(depth)

    def get_n_leaves(self) -> int:
        """The number of leaves."""
        return self.forest_.tree(0).n_leaves


class DecisionTreeClassifier(AveragedClassifier, _DecisionTree):
    """A tree whose leaves hold the shares of the classes (Gini impurity)."""


class DecisionTreeRegressor(AveragedRegressor, _DecisionTree):
    """A tree whose leaves hold means (squared error); one tree for several targets."""


for _kind in (DecisionTreeClassifier, DecisionTreeRegressor):
    _kind.__doc__ = f"{_kind.__doc__}\n{_DecisionTree.__doc__}"
