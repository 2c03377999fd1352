"""scikit-learn estimators over pyllm's tree engine.

Gradient boosting, random forests, extremely randomised trees and single trees grow on one engine
(`pyllm.trees`); AdaBoost, bagging, stacking and voting combine any estimators. The same
random_state gives the same model, bit for bit, at any n_jobs and on any instruction set.
"""

try:
    import sklearn  # noqa: F401
except ImportError as error:
    raise ModuleNotFoundError(
        "pyllm.ensemble needs scikit-learn: pip install 'pyllm[ensemble]'", name="sklearn"
    ) from error

# Stacking and voting are scikit-learn's own: they combine any estimators, these among them.
from sklearn.ensemble import (
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)

from pyllm.ensemble.adaboost import AdaBoostClassifier, AdaBoostRegressor
from pyllm.ensemble.bagging import BaggingClassifier, BaggingRegressor
from pyllm.ensemble.boosting_classifier import GradientBoostingClassifier
from pyllm.ensemble.boosting_ranker import GradientBoostingRanker
from pyllm.ensemble.boosting_regressor import GradientBoostingRegressor
from pyllm.ensemble.decision_tree import DecisionTreeClassifier, DecisionTreeRegressor
from pyllm.ensemble.random_forest import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)

__all__ = [
    "AdaBoostClassifier",
    "AdaBoostRegressor",
    "BaggingClassifier",
    "BaggingRegressor",
    "DecisionTreeClassifier",
    "DecisionTreeRegressor",
    "ExtraTreesClassifier",
    "ExtraTreesRegressor",
    "GradientBoostingClassifier",
    "GradientBoostingRanker",
    "GradientBoostingRegressor",
    "RandomForestClassifier",
    "RandomForestRegressor",
    "StackingClassifier",
    "StackingRegressor",
    "VotingClassifier",
    "VotingRegressor",
]
