"""Tree ensembles over NumPy: the model, its prediction and what explains it, and how it is grown.

The scikit-learn estimators on top are `pyllm.ensemble`.
"""

from pyllm.trees.dataset import Dataset
from pyllm.trees.forest import Forest
from pyllm.trees.grow import Grown, TreeParameters, grow_tree
from pyllm.trees.lightgbm import load_lightgbm
from pyllm.trees.plot import plot_importance, plot_tree
from pyllm.trees.tree import Tree
from pyllm.trees.xgboost import load_xgboost

__all__ = [
    "Dataset",
    "Forest",
    "Grown",
    "Tree",
    "TreeParameters",
    "grow_tree",
    "load_lightgbm",
    "load_xgboost",
    "plot_importance",
    "plot_tree",
]
