"""What the gradient boosting estimators share: how they are fitted."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from pyllm.ensemble.boosting_parameters import BoostingParameters
from pyllm.ensemble.learner import draw_seed, threads
from pyllm.trees.boost import Booster, EvalSet, boost
from pyllm.trees.checks import require_whole
from pyllm.trees.dataset import Dataset
from pyllm.trees.forest import Forest
from pyllm.trees.objective import FloatArray, Labels, Link, Objective, link_of
from pyllm.trees.plot import plot_metrics
from pyllm.trees.watch import EarlyStopping, ProgressBar

_LARGEST_WEIGHT = 1e15  # gradients are kept in float32


class GradientBoosting(BoostingParameters):
    """Base of the gradient boosting estimators: how rows and labels become a forest."""

    n_iter_: int
    objective_: Objective
    _seed: int

    def plot_metrics(self, metric: str | None = None, *, axes: Any = None) -> Any:
        """Learning curves of the eval sets (`pyllm.trees.plot_metrics`)."""
        check_is_fitted(self)
        return plot_metrics(self.evals_result_, metric, best=self.n_iter_, axes=axes)

    def _boost(
        self,
        X: Any,
        labels: Labels,
        objective: Objective,
        evals: Sequence[EvalSet],
        base_margin: Any = None,
    ) -> None:
        """Fits on checked rows and sets the attributes; Ctrl-C is raised again after that."""
        require_whole("n_estimators", self.n_estimators, 1)
        if labels.weight is not None and labels.weight.max() > _LARGEST_WEIGHT:
            raise ValueError(
                f"sample_weight: expected values up to {_LARGEST_WEIGHT:g}, "
                f"got {labels.weight.max():g}"
            )
        going_on = self.warm_start and hasattr(self, "forest_")
        start: Forest | None = self.forest_ if going_on else None
        done = self.n_iter_ if going_on else 0
        if going_on and self.n_estimators < done:
            raise ValueError(
                f"n_estimators: expected at least the {done} rounds there are, as warm_start is "
                f"set, got {self.n_estimators}"
            )
        seed = self._seed if going_on else draw_seed(self.random_state)
        if start is not None and isinstance(X, Dataset):
            raise ValueError("warm_start: going on needs the rows, got a Dataset or blocks")
        booster = Booster(
            X
            if isinstance(X, Dataset)
            else Dataset(
                X,
                max_bin=self.max_bin,
                enable_bundle=self.enable_bundle,
                categorical=sorted(self._encoding.categories),
                weight=labels.row_weight,
                feature_names=self._names(),
                device=self.device,
            ),
            labels,
            objective,
            self._boost_parameters(seed),
            self._tree_parameters(X.shape),
            start=start,
            start_margin=None if start is None else start.predict(X),
            base_margin=base_margin,
            eval_sets=evals,
            metrics=self._metrics(objective),
        )
        callbacks = list(self.callbacks or ())
        if self.early_stopping_rounds is not None and evals:
            callbacks.append(EarlyStopping(self.early_stopping_rounds, self.min_delta))
        if self.verbose:
            callbacks.append(ProgressBar())
        result = boost(booster, self.n_estimators - done, callbacks)
        self._seed, self.objective_ = seed, objective
        self.forest_, self.n_iter_ = result.forest, result.n_rounds
        self.evals_result_ = result.history
        if result.interrupted:
            raise KeyboardInterrupt

    def _link(self) -> Link:
        return link_of(self.objective_)

    def _margin(self, X: Any, base_margin: Any = None) -> FloatArray:
        """(n_outputs, n) margins."""
        check_is_fitted(self)
        matrix = self._read(X, fitting=False)
        with threads(self.n_jobs):
            margin = self.forest_.predict(matrix).T
        if base_margin is not None:
            added = np.asarray(base_margin, np.float64).reshape(margin.shape[1], -1)
            if added.shape != margin.T.shape:
                raise ValueError(
                    f"base_margin: expected shape {margin.T.shape}, got {np.shape(base_margin)}"
                )
            margin = margin + added.T
        return margin

    def _staged(self, X: Any) -> Any:
        check_is_fitted(self)
        matrix = self._read(X, fitting=False)
        vector = self.forest_.value.shape[1] == self.forest_.n_outputs
        for margin in self.forest_.staged(matrix, step=1 if vector else self.forest_.n_outputs):
            yield margin.T
