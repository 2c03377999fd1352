"""scikit-learn's own checks of estimators: every one of them, none expected to fail."""

from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.utils.estimator_checks import parametrize_with_checks

from pyllm import ensemble

MODELS = [
    ensemble.GradientBoostingClassifier(n_estimators=10),
    ensemble.GradientBoostingRegressor(n_estimators=10),
    ensemble.GradientBoostingRanker(n_estimators=10),
    ensemble.RandomForestClassifier(n_estimators=10),
    ensemble.RandomForestRegressor(n_estimators=10),
    ensemble.ExtraTreesClassifier(n_estimators=10),
    ensemble.ExtraTreesRegressor(n_estimators=10),
    ensemble.DecisionTreeClassifier(),
    ensemble.DecisionTreeRegressor(),
    ensemble.AdaBoostClassifier(n_estimators=10),
    ensemble.AdaBoostRegressor(n_estimators=10),
    ensemble.BaggingClassifier(n_estimators=5),
    ensemble.BaggingRegressor(n_estimators=5),
    ensemble.StackingClassifier(
        [
            ("tree", ensemble.DecisionTreeClassifier(max_depth=3)),
            ("line", LogisticRegression()),
        ]
    ),
    ensemble.StackingRegressor(
        [("tree", ensemble.DecisionTreeRegressor(max_depth=3)), ("line", Ridge())]
    ),
    ensemble.VotingClassifier(
        [
            ("tree", ensemble.DecisionTreeClassifier(max_depth=3)),
            ("line", LogisticRegression()),
        ]
    ),
    ensemble.VotingRegressor(
        [("tree", ensemble.DecisionTreeRegressor(max_depth=3)), ("line", Ridge())]
    ),
]


@parametrize_with_checks(MODELS)
def test_scikit_learns_checks(estimator, check):
    check(estimator)
