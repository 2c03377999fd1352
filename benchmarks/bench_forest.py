"""Random forests beside scikit-learn's: 100,000 rows of 28 features, trees grown to the end.

20 trees a round keep it short; time goes linearly with trees, and so does the gain in AUC, which is
taken on 50,000 other rows. With 100 trees: python benchmarks/bench_forest.py
"""

from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any

import numpy as np

from pyllm import ensemble, get_num_threads
from pyllm.bench import Case, cases, installed
from pyllm.bench.boosting import auc_on


def rows(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two classes that differ by products, thresholds and waves of 28 features, and noise."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, 28), dtype=np.float32)
    X[:, 10:20] = np.abs(X[:, 10:20])
    X[:, 20:] = np.exp(X[:, 20:] / 2)
    signal = X[:, 0] * X[:, 1] - 0.7 * X[:, 2] ** 2 + 1.2 * np.sin(2 * X[:, 3] * X[:, 10])
    signal += 0.9 * X[:, 20] * X[:, 4] + (X[:, 11] > 0.7) * (X[:, 5] < 0) + 0.5 * X[:, 6]
    signal -= 0.6 * np.sqrt(X[:, 12] + X[:, 13] ** 2) - 0.4 * np.tanh(X[:, 21] - X[:, 22])
    return X, (signal + 1.5 * rng.logistic(size=n) > 0).astype(np.int64)


@cache
def held_out() -> Any:
    return auc_on(*rows(50_000, 4))


def sides(kind: str, use: Callable[[Any], Callable[[], object]], trees: int = 20) -> dict:
    """What `use` makes of our estimator and of scikit-learn's of the same name."""
    options = {"n_estimators": trees, "random_state": 0, "n_jobs": get_num_threads()}

    def theirs() -> Callable[[], object]:
        import sklearn.ensemble

        return use(getattr(sklearn.ensemble, kind)(**options))

    return installed(use(getattr(ensemble, kind)(**options)), **{"scikit-learn": theirs})


def train(kind: str) -> dict:
    X, y = rows(100_000, 3)

    def fit(model: Any) -> Callable[[np.ndarray], np.ndarray]:
        model.fit(X, y)
        return lambda asked: model.predict_proba(asked)[:, 1]

    return sides(kind, lambda model: partial(fit, model))


def predict(kind: str) -> dict:
    X, y = rows(20_000, 3)
    asked, _ = rows(50_000, 4)
    return sides(kind, lambda model: partial(model.fit(X, y).predict_proba, asked))


KINDS = {"random forest": "RandomForestClassifier", "extra trees": "ExtraTreesClassifier"}


@cases("trees")
def forests() -> Iterator[Case]:
    for name, kind in KINDS.items():
        yield Case(
            f"{name} 100000x28, 20 trees",
            partial(train, kind),
            repeats=3,
            auc=lambda scores: held_out()(scores),
        )
    yield Case(
        "random forest predict 50000x28, 20 trees", partial(predict, "RandomForestClassifier")
    )


def accuracy() -> None:
    """What both reach with 100 trees."""
    X, y = rows(100_000, 3)

    def area(model: Any) -> Callable[[], float]:
        fitted = model.fit(X, y)
        return lambda: held_out()(lambda asked: fitted.predict_proba(asked)[:, 1])

    for name, kind in KINDS.items():
        for side, measure in sides(kind, area, trees=100).items():
            print(f"{name}, 100 trees, {side}: AUC {measure():.5f}")


if __name__ == "__main__":
    accuracy()
