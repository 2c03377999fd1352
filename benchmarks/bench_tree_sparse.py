"""Gradient boosting on sparse rows beside LightGBM and XGBoost (`pyllm.bench.boosting`).

Two classes of 500,000 rows, CSR: 1000 columns that are one-hot of 20 variables of 50 levels, some
of them frequent and most of them rare; and 100 columns, 90 % zeros, of 10 variables of 10 levels,
half of them one-hot, half with a real number at the level that holds. LightGBM bundles features as
we do; XGBoost takes what is not stored for missing. On data already binned, and from rows to model
with the peak memory of each side. AUC on 100,000 other rows: of the 100 columns by 40 trees, which
leave less of it to luck.
"""

from collections.abc import Iterator
from functools import cache, partial
from typing import Any

import numpy as np
import scipy.sparse as sp

from pyllm.bench import Case, cases
from pyllm.bench.boosting import Boosting, auc_on

ROWS, LEAVES = 500_000, 255


def generate(
    rows: int, seed: int, variables: int, levels: int, reals: int
) -> tuple[Any, np.ndarray]:
    """X float32 CSR, one entry a row and variable, the last `reals` of them lognormal; y from
    effects of the levels, of pairs of them and of the numbers, with logistic noise."""
    rng, law = np.random.default_rng(seed), np.random.default_rng(7)
    chance = 1.0 / np.arange(1, levels + 1)
    level = rng.choice(levels, size=(rows, variables), p=chance / chance.sum())
    value = np.ones((rows, variables), np.float32)
    value[:, variables - reals :] = rng.lognormal(sigma=0.7, size=(rows, reals))
    effect = law.normal(scale=0.4, size=(variables, levels))
    score = sum(effect[v][level[:, v]] * value[:, v] for v in range(variables))
    for v in range(0, variables, 2):
        pair = law.normal(scale=0.4, size=(levels, levels))
        score = score + pair[level[:, v], level[:, v + 1]]
    columns = (level + np.arange(variables) * levels).astype(np.int32)
    offsets = np.arange(rows + 1, dtype=np.int32) * variables
    x = sp.csr_matrix((value.ravel(), columns.ravel(), offsets), (rows, variables * levels))
    return x, (score - np.median(score) + rng.logistic(size=rows) > 0).astype(np.float32)


@cache
def held_out(*shape: int) -> Any:
    return auc_on(*generate(100_000, 2, *shape))


def sides(trees: int, shape: tuple[int, ...], **settings: Any) -> dict:
    boosting = Boosting(*generate(ROWS, 1, *shape), trees=trees, leaves=LEAVES, **settings)
    return boosting.sides("lightgbm", "xgboost")


@cases("trees")
def sparse() -> Iterator[Case]:
    sets = (("one-hot", 20, (20, 50, 0)), ("90 % zeros", 40, (10, 10, 5)))
    for name, trees, shape in sets:
        for note, more in (("", {}), (", with binning", {"binning": True})):
            size = f"{ROWS}x{shape[0] * shape[1]} {name}"
            yield Case(
                f"boosting {trees} trees, {size}, {LEAVES} leaves{note}",
                partial(sides, trees, shape, **more),
                repeats=3,
                memory="binning" in more,
                auc=lambda predict, shape=shape: held_out(*shape)(predict),
            )
