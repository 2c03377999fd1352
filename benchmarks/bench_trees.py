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

ROWS, FEATURES, TREES, LEAVES, DEPTH = 1_000_000, 28, 20, 255, 8


def generate(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """X float32: a third normal, a third half-normal, a third log-normal; y from products, steps
    and waves of them, with logistic noise."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, FEATURES), dtype=np.float32)
    x[:, 9:18] = np.abs(x[:, 9:18])
    x[:, 18:] = np.exp(x[:, 18:] / 2)
    score = 1.2 * x[:, 0] * x[:, 1] - 0.8 * x[:, 2] ** 2 + 1.5 * np.sin(2 * x[:, 3] * x[:, 9])
    score += 1.1 * ((x[:, 10] > 0.8) & (x[:, 4] < 0)) + 0.9 * x[:, 18] * x[:, 5]
    score += 0.6 * np.tanh(x[:, 19] - x[:, 20]) * x[:, 6] - 0.7 * np.hypot(
        x[:, 11] ** 0.5, x[:, 12]
    )
    score += 0.5 * x[:, 13] * (x[:, 7] > 0.3) + 0.3 * x[:, 8] + 0.8
    return x, (score + rng.logistic(scale=1.5, size=rows) > 0).astype(np.float32)


@cache
def held_out() -> Any:
    return auc_on(*generate(100_000, 2))


@cache
def training() -> tuple[np.ndarray, np.ndarray]:
    return generate(ROWS, 1)


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
