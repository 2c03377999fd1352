"""One configuration of gradient boosting in the words of pyllm, LightGBM, XGBoost and CatBoost.

Same data, bins, leaves or depth, learning rate, penalty and threads. What each library does in its
own way stays its own: CatBoost's trees are symmetric and its categories statistics of the target,
LightGBM picks its layout of bins itself, XGBoost has no quantised gradients.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

import pyllm
from pyllm.bench.case import Sides, installed
from pyllm.trees import BoostParameters, Dataset, Labels, TreeParameters, make_metric, train

# What a fit returns: rows in, scores out, as the library predicts.
Predict = Callable[[NDArray], Any]
Fit = Callable[[], Predict]

RATE, BINS, LAMBDA, LEAST_HESSIAN = 0.1, 255, 1.0, 1e-3


@dataclass(frozen=True)
class Boosting:
    """Two classes to boost.

    Attributes:
        x, y: float32 rows; 0 or 1.
        leaves: grow leaf by leaf up to so many; 0: level by level.
        depth: where levels end; 0: nowhere.
        categorical: features whose values are categories.
        quantized: gradients of few bits, where the library has them.
        binning: is timed as well; else it is done before.
        device: "cpu" or "cuda", of pyllm and XGBoost.
    """

    x: NDArray[np.float32]
    y: NDArray[np.float32]
    trees: int
    leaves: int = 0
    depth: int = 0
    categorical: tuple[int, ...] = ()
    quantized: bool = False
    binning: bool = False
    device: str = "cpu"
    threads: int = field(default_factory=pyllm.get_num_threads)

    def _fit(self, prepare: Callable[[], Any], boost: Callable[[Any], Predict]) -> Fit:
        if self.binning:
            return lambda: boost(prepare())
        data = prepare()
        return lambda: boost(data)

    def pyllm(self) -> Fit:
        """Ours."""
        tree = TreeParameters(
            growth="leafwise" if self.leaves else "depthwise",
            max_leaves=self.leaves,
            max_depth=self.depth,
            reg_lambda=LAMBDA,
            min_child_weight=LEAST_HESSIAN,
            quantized=self.quantized,
        )
        parameters = BoostParameters(learning_rate=RATE)

        def boost(dataset: Any) -> Predict:
            boosted = train(dataset, self.y, "log_loss", parameters, tree, n_rounds=self.trees)
            return boosted.forest.predict

        def bins() -> Dataset:
            return Dataset(self.x, max_bin=BINS, categorical=self.categorical, device=self.device)

        return self._fit(bins, boost)

    def lightgbm(self) -> Fit:
        """LightGBM's."""
        import lightgbm

        settings = {
            "objective": "binary",
            "num_threads": self.threads,
            "max_bin": BINS,
            "learning_rate": RATE,
            "num_leaves": self.leaves or 2**self.depth,
            "max_depth": self.depth or -1,
            "lambda_l2": LAMBDA,
            "min_sum_hessian_in_leaf": LEAST_HESSIAN,
            "min_data_in_leaf": 1,
            "use_quantized_grad": self.quantized,
            "quant_train_renew_leaf": self.quantized,
            "verbose": -1,
        }

        def bins() -> Any:
            return lightgbm.Dataset(
                self.x, self.y, params=settings, categorical_feature=list(self.categorical)
            ).construct()

        return self._fit(bins, lambda data: lightgbm.train(settings, data, self.trees).predict)

    def xgboost(self) -> Fit:
        """XGBoost's."""
        import xgboost

        settings = {
            "objective": "binary:logistic",
            "tree_method": "hist",
            "device": self.device,
            "nthread": self.threads,
            "max_bin": BINS,
            "eta": RATE,
            "grow_policy": "lossguide" if self.leaves else "depthwise",
            "max_leaves": self.leaves,
            "max_depth": self.depth,
            "lambda": LAMBDA,
            "min_child_weight": LEAST_HESSIAN,
        }
        kinds = ["c" if f in self.categorical else "q" for f in range(self.x.shape[1])]

        def matrix(x: NDArray, **options: Any) -> Any:
            return xgboost.QuantileDMatrix(
                x,
                feature_types=kinds,
                enable_categorical=True,
                max_bin=BINS,
                nthread=self.threads,
                **options,
            )

        def boost(data: Any) -> Predict:
            booster = xgboost.train(settings, data, self.trees)
            return lambda x: booster.predict(matrix(x, ref=data))

        return self._fit(lambda: matrix(self.x, label=self.y), boost)

    def catboost(self) -> Fit:
        """CatBoost's; levels only."""
        import catboost

        def pool(x: NDArray, y: NDArray | None = None) -> Any:
            wanted = np.isin(np.arange(x.shape[1]), self.categorical)
            names = np.char.mod("%d", x[:, wanted]).astype(np.bytes_).astype(object)
            features = catboost.FeaturesData(
                num_feature_data=np.ascontiguousarray(x[:, ~wanted], np.float32),
                cat_feature_data=names if self.categorical else None,
            )
            return catboost.Pool(features, y, thread_count=self.threads)

        def boost(data: Any) -> Predict:
            model = catboost.CatBoostClassifier(
                iterations=self.trees,
                depth=self.depth,
                learning_rate=RATE,
                l2_leaf_reg=LAMBDA,
                border_count=BINS - 1,
                thread_count=self.threads,
                allow_writing_files=False,
                verbose=0,
            ).fit(data)
            return lambda x: model.predict(pool(x), prediction_type="RawFormulaVal")

        return self._fit(lambda: pool(self.x, self.y), boost)

    def sides(self, *peers: str) -> Sides:
        """Ours and those of the peers that are installed."""
        return installed(self.pyllm(), **{name: getattr(self, name) for name in peers})


def auc_on(x: NDArray[np.float32], y: NDArray[np.float32]) -> Callable[[Predict], float]:
    """The AUC on these rows of what a fit returned."""
    labels, area = Labels(y.astype(np.float64)), make_metric("auc")

    def measure(predict: Predict) -> float:
        scores = np.asarray(predict(x), np.float64).reshape(1, -1)
        return area.measure(labels, scores)

    return measure
