"""Gradient boosting beside LightGBM and XGBoost at the same settings (`pyllm.bench.boosting`).

Two classes of 1,000,000 rows of 28 features like those of HIGGS, 255 bins, learning rate 0.1,
log-loss: leaf-wise with 255 leaves, and level by level to depth 8; on data already binned, and from
rows to model with the peak memory of each side; then with quantised gradients. XGBoost has none: it
stands beside them with its own. AUC on 100,000 other rows.
"""

from collections.abc import Iterator
from functools import cache, partial
from typing import Any

import numpy as np

from pyllm.bench import Case, cases
from pyllm.bench.boosting import Boosting, auc_on
from pyllm.bench.higgs import FEATURES, higgs_like

ROWS, TREES, LEAVES, DEPTH = 1_000_000, 20, 255, 8


@cache
def held_out() -> Any:
    return auc_on(*higgs_like(100_000, 2))


@cache
def training() -> tuple[np.ndarray, np.ndarray]:
    return higgs_like(ROWS, 1)


def sides(**settings: Any) -> dict:
    return Boosting(*training(), trees=TREES, **settings).sides("lightgbm", "xgboost")


@cases("trees")
def boosting() -> Iterator[Case]:
    for shape, settings in (
        (f"{LEAVES} leaves", {"leaves": LEAVES}),
        (f"depth {DEPTH}", {"depth": DEPTH}),
    ):
        for note, more in (
            ("", {}),
            (", with binning", {"binning": True}),
            (", quantised", {"quantized": True}),
        ):
            yield Case(
                f"boosting {TREES} trees, {ROWS}x{FEATURES}, {shape}{note}",
                partial(sides, **settings, **more),
                repeats=2 if "binning" in more else 3,
                memory="binning" in more,
                auc=lambda predict: held_out()(predict),
            )
