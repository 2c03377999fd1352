"""Tree ensembles over NumPy: the model, its prediction and what explains it, and how it is grown.

- A model: `Forest` of `Tree`s, from `Forest.load`, `load_xgboost`, `load_lightgbm` or boosting.
- Boosting: `train` a `Dataset`; `make_objective` and `make_metric` find losses and metrics by
  name, `BoostParameters` and `TreeParameters` say how. `cv` boosts on folds, `refit` learns new
  leaves for old splits. Callbacks watch and stop. Round by round: `Booster`, which `boost` drives.
- One tree: `grow_tree`.

The scikit-learn estimators on top are `pyllm.ensemble`.
"""

from pyllm.trees.boost import Boosted, Booster, EvalSet, boost
from pyllm.trees.boost_parameters import BoostParameters
from pyllm.trees.cv import CrossValidation, cv
from pyllm.trees.dataset import Dataset
from pyllm.trees.forest import Forest
from pyllm.trees.grow import Grown, grow_tree
from pyllm.trees.lightgbm import load_lightgbm
from pyllm.trees.losses import make_objective
from pyllm.trees.metric import Metric, make_metric
from pyllm.trees.objective import Labels, Objective
from pyllm.trees.plot import plot_importance, plot_metrics, plot_tree
from pyllm.trees.refit import refit
from pyllm.trees.train import train
from pyllm.trees.tree import Tree
from pyllm.trees.tree_parameters import TreeParameters
from pyllm.trees.watch import Callback, EarlyStopping, ProgressBar
from pyllm.trees.xgboost import load_xgboost

__all__ = [
    "BoostParameters",
    "Boosted",
    "Booster",
    "Callback",
    "CrossValidation",
    "Dataset",
    "EarlyStopping",
    "EvalSet",
    "Forest",
    "Grown",
    "Labels",
    "Metric",
    "Objective",
    "ProgressBar",
    "Tree",
    "TreeParameters",
    "boost",
    "cv",
    "grow_tree",
    "load_lightgbm",
    "load_xgboost",
    "make_metric",
    "make_objective",
    "plot_importance",
    "plot_metrics",
    "plot_tree",
    "refit",
    "train",
]
