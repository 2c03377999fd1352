"""Gradient boosting against LightGBM and XGBoost at the same settings, on data already binned.

Binary classification of 1,000,000 rows of 28 features like those of HIGGS, 255 bins, learning rate
0.1, log-loss: leaf-wise with 255 leaves, and level by level to depth 8. LightGBM picks its layout
(row- or column-wise) itself; its quantised side and ours stand in a case of their own.
"""

from collections.abc import Callable, Iterator

import lightgbm as lgb
import numpy as np
import xgboost as xgb

import pyllm
from pyllm.bench import Case, cases
from pyllm.trees import Dataset, TreeParameters
from pyllm.trees.boost import Booster, BoostParameters, boost
from pyllm.trees.losses import make_objective
from pyllm.trees.objective import Labels

ROWS, FEATURES, TREES, LEAVES, DEPTH = 1_000_000, 28, 20, 255, 8
Fit = Callable[[], object]


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


def our_fit(x: np.ndarray, y: np.ndarray, tree: TreeParameters) -> Fit:
    dataset, objective = Dataset(x), make_objective("log_loss")
    labels = objective.prepare(Labels(y.astype(np.float64)))

    def fit() -> object:
        return boost(Booster(dataset, labels, objective, BoostParameters(), tree), TREES)

    return fit


def lightgbm_fit(x: np.ndarray, y: np.ndarray, **settings: object) -> Fit:
    settings = {
        "objective": "binary",
        "num_threads": pyllm.get_num_threads(),
        "min_data_in_leaf": 1,
        "verbose": -1,
        **settings,
    }
    data = lgb.Dataset(x, y, params=settings).construct()
    return lambda: lgb.train(settings, data, TREES)


def xgboost_fit(x: np.ndarray, y: np.ndarray, **settings: object) -> Fit:
    threads = pyllm.get_num_threads()
    data = xgb.QuantileDMatrix(x, y, max_bin=255, nthread=threads)
    settings = {
        "objective": "binary:logistic",
        "eta": 0.1,
        "tree_method": "hist",
        "max_bin": 255,
        "nthread": threads,
        "min_child_weight": 1e-3,
        **settings,
    }
    return lambda: xgb.train(settings, data, TREES)


def leafwise() -> dict[str, Fit]:
    x, y = generate(ROWS, 1)
    return {
        "pyllm": our_fit(x, y, TreeParameters(max_leaves=LEAVES)),
        "lightgbm": lightgbm_fit(x, y, num_leaves=LEAVES),
        "xgboost": xgboost_fit(x, y, max_depth=0, max_leaves=LEAVES, grow_policy="lossguide"),
    }


def depthwise() -> dict[str, Fit]:
    x, y = generate(ROWS, 1)
    tree = TreeParameters(growth="depthwise", max_depth=DEPTH, max_leaves=None)
    return {
        "pyllm": our_fit(x, y, tree),
        "lightgbm": lightgbm_fit(x, y, num_leaves=2**DEPTH, max_depth=DEPTH),
        "xgboost": xgboost_fit(x, y, max_depth=DEPTH),
    }


def quantized() -> dict[str, Fit]:
    x, y = generate(ROWS, 1)
    return {
        "pyllm": our_fit(x, y, TreeParameters(max_leaves=LEAVES, quantized=True)),
        "lightgbm": lightgbm_fit(
            x, y, num_leaves=LEAVES, use_quantized_grad=True, quant_train_renew_leaf=True
        ),
    }


@cases("trees")
def boosting() -> Iterator[Case]:
    size = f"{TREES} trees, {ROWS}x{FEATURES}"
    yield Case(f"boosting {size}, {LEAVES} leaves", leafwise, repeats=3, memory=True)
    yield Case(f"boosting {size}, depth {DEPTH}", depthwise, repeats=3, memory=True)
    yield Case(f"boosting {size}, {LEAVES} leaves, quantised", quantized, repeats=3, memory=True)
