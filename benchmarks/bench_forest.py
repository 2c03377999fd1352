"""Random forests beside scikit-learn's: 100,000 rows of 28 features, trees grown to the end.

20 trees a round keep it short; time goes linearly with trees. `accuracy()` prints what both reach
with 100 of them on other rows of the same kind: python benchmarks/bench_forest.py
"""

from collections.abc import Iterator
from functools import partial

import numpy as np
from sklearn import ensemble as sklearn_ensemble
from sklearn.metrics import roc_auc_score

from pyllm import ensemble, get_num_threads
from pyllm.bench import Case, cases


def rows(n, seed):
    """Two classes that differ by products, thresholds and waves of 28 features, and noise."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, 28), dtype=np.float32)
    X[:, 10:20] = np.abs(X[:, 10:20])
    X[:, 20:] = np.exp(X[:, 20:] / 2)
    signal = X[:, 0] * X[:, 1] - 0.7 * X[:, 2] ** 2 + 1.2 * np.sin(2 * X[:, 3] * X[:, 10])
    signal += 0.9 * X[:, 20] * X[:, 4] + (X[:, 11] > 0.7) * (X[:, 5] < 0) + 0.5 * X[:, 6]
    signal -= 0.6 * np.sqrt(X[:, 12] + X[:, 13] ** 2) - 0.4 * np.tanh(X[:, 21] - X[:, 22])
    return X, (signal + 1.5 * rng.logistic(size=n) > 0).astype(np.int64)


def models(ours, theirs, trees, **options):
    options = {"n_estimators": trees, "random_state": 0, "n_jobs": get_num_threads()} | options
    return {"pyllm": ours(**options), "scikit-learn": theirs(**options)}


def train(ours, theirs, trees):
    X, y = rows(100_000, 3)
    return {name: partial(model.fit, X, y) for name, model in models(ours, theirs, trees).items()}


def predict(ours, theirs, trees):
    X, y = rows(20_000, 3)
    asked, _ = rows(50_000, 4)
    return {
        name: partial(model.fit(X, y).predict_proba, asked)
        for name, model in models(ours, theirs, trees).items()
    }


KINDS = {
    "random forest": (
        ensemble.RandomForestClassifier,
        sklearn_ensemble.RandomForestClassifier,
    ),
    "extra trees": (ensemble.ExtraTreesClassifier, sklearn_ensemble.ExtraTreesClassifier),
}


@cases("trees")
def forests() -> Iterator[Case]:
    for name, (ours, theirs) in KINDS.items():
        yield Case(f"{name} 100000x28, 20 trees", partial(train, ours, theirs, 20), repeats=3)
    ours, theirs = KINDS["random forest"]
    yield Case("random forest predict 50000x28, 20 trees", partial(predict, ours, theirs, 20))


def accuracy() -> None:
    X, y = rows(100_000, 3)
    X_test, y_test = rows(50_000, 4)
    for name, kinds in KINDS.items():
        for side, model in models(*kinds, 100).items():
            area = roc_auc_score(y_test, model.fit(X, y).predict_proba(X_test)[:, 1])
            print(f"{name}, 100 trees, {side}: AUC {area:.5f}")


if __name__ == "__main__":
    accuracy()
