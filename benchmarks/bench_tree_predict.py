"""Prediction beside XGBoost, LightGBM, CatBoost and scikit-learn: 200,000 rows and one row.

Every library predicts with a model of its own of 100 trees; pyllm with XGBoost's and LightGBM's,
loaded. The margins, not the models, are compared in tests/interop.
"""

from collections.abc import Iterator
from functools import cache, partial

import numpy as np

from pyllm import get_num_threads
from pyllm.bench import Case, cases, installed
from pyllm.trees import load_lightgbm, load_xgboost

ROWS, FEATURES, TREES, LEAVES = 200_000, 28, 100, 255
TRAINING_ROWS = 100_000


@cache
def data():
    """Rows with a signal of pairs of features, as float32."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(ROWS, FEATURES)).astype(np.float32)
    signal = X[:, 0] * X[:, 1] + np.sin(2 * X[:, 2]) + X[:, 3] * X[:, 4] - np.abs(X[:, 5])
    return X, (signal + rng.normal(size=ROWS) > -0.8).astype(np.int64)


@cache
def xgboost_model():
    import xgboost

    X, y = (a[:TRAINING_ROWS] for a in data())
    parameters = {
        "objective": "binary:logistic",
        "tree_method": "hist",
        "grow_policy": "lossguide",
        "max_leaves": LEAVES,
        "max_depth": 0,
        "nthread": get_num_threads(),
    }
    return xgboost.train(parameters, xgboost.DMatrix(X, y), TREES)


@cache
def lightgbm_model():
    import lightgbm

    X, y = (a[:TRAINING_ROWS] for a in data())
    parameters = {
        "objective": "binary",
        "num_leaves": LEAVES,
        "verbose": -1,
        "num_threads": get_num_threads(),
    }
    return lightgbm.train(parameters, lightgbm.Dataset(X, y), TREES)


@cache
def catboost_model():
    import catboost

    X, y = (a[:TRAINING_ROWS] for a in data())
    model = catboost.CatBoostClassifier(
        iterations=TREES,
        depth=8,
        verbose=0,
        thread_count=get_num_threads(),
        allow_writing_files=False,
    )
    return model.fit(X, y)


@cache
def sklearn_model():
    from sklearn.ensemble import HistGradientBoostingClassifier

    X, y = (a[:TRAINING_ROWS] for a in data())
    model = HistGradientBoostingClassifier(
        max_iter=TREES, max_leaf_nodes=LEAVES, early_stopping=False
    )
    return model.fit(X, y)


def sides_for(rows: int, ours: str):
    """Margins of the first rows, by `ours` ("xgboost" or "lightgbm") loaded and by everybody."""
    X, threads = data()[0][:rows], get_num_threads()
    forest = (
        load_xgboost(xgboost_model().save_raw())
        if ours == "xgboost"
        else load_lightgbm(lightgbm_model().model_to_string())
    )

    def xgboost():
        return partial(xgboost_model().inplace_predict, X, predict_type="margin")

    def lightgbm():
        return partial(lightgbm_model().predict, X, raw_score=True)

    def catboost():
        model = catboost_model()
        return partial(model.predict, X, prediction_type="RawFormulaVal", thread_count=threads)

    def sklearn():
        return partial(sklearn_model().decision_function, X)

    return installed(
        partial(forest.predict, X),
        xgboost=xgboost,
        lightgbm=lightgbm,
        catboost=catboost,
        **{"scikit-learn": sklearn},
    )


@cases("trees")
def predict() -> Iterator[Case]:
    shape = f"{TREES} trees of {LEAVES} leaves"
    for ours in ("xgboost", "lightgbm"):
        yield Case(
            f"predict {ROWS}x{FEATURES}, {shape} ({ours}'s)",
            lambda ours=ours: sides_for(ROWS, ours),
            repeats=5,
        )
    yield Case(
        f"predict 1x{FEATURES}, {shape} (xgboost's)",
        lambda: sides_for(1, "xgboost"),
        repeats=7,
        calls=50,
    )
