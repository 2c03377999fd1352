"""Boosting on categories beside LightGBM, XGBoost and CatBoost (`pyllm.bench.boosting`).

Two classes of 300,000 rows of 8 numbers and 6 features of 10 to 1000 categories, frequent and rare
ones, whose effects add up, meet numbers and meet each other. AUC on 100,000 other rows.
"""

from collections.abc import Iterator
from functools import cache, partial
from typing import Any

import numpy as np

from pyllm.bench import Case, cases
from pyllm.bench.boosting import Boosting, auc_on

ROWS, NUMBERS, CATEGORIES = 300_000, 8, (10, 30, 100, 300, 1000, 1000)
TREES, LEAVES, DEPTH = 40, 255, 8


def generate(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """X float32, the numbers first; y from effects of both kinds, with logistic noise."""
    rng, world = np.random.default_rng(seed), np.random.default_rng(0)
    x = np.empty((rows, NUMBERS + len(CATEGORIES)), np.float32)
    x[:, :NUMBERS] = rng.standard_normal((rows, NUMBERS), dtype=np.float32)
    score = x[:, 0] * x[:, 1] + np.sin(2 * x[:, 2])
    for k, count in enumerate(CATEGORIES):
        share = 1.0 / (np.arange(count) + 5.0)  # Zipf's law, flattened at its head
        codes = rng.choice(count, rows, p=share / share.sum())
        place = world.permutation(count)  # frequent codes are not the low ones
        x[:, NUMBERS + k] = place[codes]
        score += 0.5 * world.normal(size=count)[codes]
        score += 0.5 * world.normal(size=count)[codes] * x[:, k]
    meet = (x[:, NUMBERS] % 2 == x[:, NUMBERS + 1] % 3) - 0.4
    return x, (score + meet + rng.logistic(size=rows) > 0).astype(np.float32)


@cache
def held_out() -> Any:
    return auc_on(*generate(100_000, 2))


def sides(*peers: str, **settings: Any) -> dict:
    features = tuple(range(NUMBERS, NUMBERS + len(CATEGORIES)))
    x, y = generate(ROWS, 1)
    return Boosting(x, y, trees=TREES, categorical=features, **settings).sides(*peers)


@cases("trees")
def categories() -> Iterator[Case]:
    size = f"{TREES} trees, {ROWS}x{NUMBERS} and {len(CATEGORIES)} of {min(CATEGORIES)} to "
    size += f"{max(CATEGORIES)} categories"
    for shape, run in (
        (f"{LEAVES} leaves", partial(sides, "lightgbm", "xgboost", leaves=LEAVES)),
        (f"depth {DEPTH}", partial(sides, "lightgbm", "xgboost", "catboost", depth=DEPTH)),
    ):
        yield Case(
            f"boosting {size}, {shape}",
            run,
            repeats=3,
            auc=lambda predict: held_out()(predict),
        )
