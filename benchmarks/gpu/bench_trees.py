"""Gradient boosting on the device beside XGBoost's, and prediction of rows that are there.

The rows and settings of benchmarks/bench_trees.py, on data already binned and from rows to model.
"""

from collections.abc import Iterator
from functools import cache, partial
from typing import Any

from pyllm import cuda
from pyllm.bench import Case, cases
from pyllm.bench.boosting import Boosting, auc_on
from pyllm.bench.higgs import FEATURES, higgs_like
from pyllm.trees import BoostParameters, Dataset, TreeParameters, train

ROWS, TREES, LEAVES, DEPTH = 1_000_000, 100, 255, 8


@cache
def held_out() -> Any:
    return auc_on(*higgs_like(100_000, 2))


def sides(**settings: Any) -> dict:
    boosting = Boosting(*higgs_like(ROWS, 1), trees=TREES, device="cuda", **settings)
    return boosting.sides("xgboost")


def prediction() -> dict:
    """Rows are on the device before, margins stay there."""
    x, y = higgs_like(ROWS, 1)
    tree = TreeParameters(growth="depthwise", max_leaves=None, max_depth=DEPTH)
    data = Dataset(x, device="cuda")
    forest = train(data, y, "log_loss", BoostParameters(), tree, n_rounds=TREES).forest
    there = cuda.to_device(x)
    made = {"pyllm": lambda: forest.predict(there)}
    try:
        import cupy
        import xgboost
    except ModuleNotFoundError:
        return made
    settings = {"device": "cuda", "max_depth": DEPTH, "objective": "binary:logistic"}
    booster = xgboost.train(settings, xgboost.QuantileDMatrix(x, y), TREES)
    same = cupy.from_dlpack(there)
    return {**made, "xgboost": lambda: booster.inplace_predict(same)}


@cases("gpu")
def boosting() -> Iterator[Case]:
    for shape, settings in (
        (f"{LEAVES} leaves", {"leaves": LEAVES}),
        (f"depth {DEPTH}", {"depth": DEPTH}),
    ):
        for note, more in (("", {}), (", with binning", {"binning": True})):
            yield Case(
                f"boosting {TREES} trees, {ROWS}x{FEATURES}, {shape}{note}",
                partial(sides, **settings, **more),
                repeats=3,
                auc=lambda predict: held_out()(predict),
            )
    yield Case(f"predicting {ROWS}x{FEATURES}, {TREES} trees of depth {DEPTH}", prediction)
