"""fit() and refit() of boosted classifiers and regressors: rows, weights and eval sets."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.model_selection import train_test_split
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from pyllm.ensemble.boosting import GradientBoosting
from pyllm.ensemble.eval_sets import EvalSets, named_sets, one_each
from pyllm.ensemble.learner import draw_seed, keep_weighted, read_weight, threads
from pyllm.trees.boost import EvalSet
from pyllm.trees.checks import require_number
from pyllm.trees.dataset import Dataset
from pyllm.trees.objective import FloatArray, Labels, Objective
from pyllm.trees.refit import refit


class SupervisedBoosting(GradientBoosting):
    """fit() of classifiers and regressors, which differ in how they read y."""

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        base_margin: Any = None,
        eval_set: EvalSets = None,
        eval_sample_weight: Any = None,
        eval_base_margin: Any = None,
    ) -> Any:
        """Grow the trees.

        Args:
            X: (n_samples, n_features), see `TreeEstimator`; or a `pyllm.trees.Dataset`, binned once
                for many fits; or, for data larger than memory, blocks of rows as a Dataset takes
                them: a list of arrays, or a function that returns an iterator of them. Categories
                are then whole numbers, and max_bin and categories those of the Dataset.
            y: (n_samples,); (n_samples, n_targets) for several regression targets.
            sample_weight: (n_samples,), not negative. A whole number is the same as the row so many
                times.
            base_margin: (n_samples,) or (n_samples, n_outputs) to start from in place of a
                constant; pass the like to predict.
            eval_set: pairs (X, y) to measure after every round, or a dict of them by name.
            eval_sample_weight, eval_base_margin: one entry for each of them.

        Raises:
            ValueError: something does not fit; the message names it.
        """
        with threads(self.n_jobs):
            matrix = self._read(X, fitting=True)
            check_consistent_length(matrix, y)
            target = self._read_target(y)
            weight = self._weigh(read_weight(sample_weight, matrix), target)
            weight, matrix, (target, base_margin) = keep_weighted(
                weight, matrix, target, None if base_margin is None else np.asarray(base_margin)
            )
            objective = self._objective(target)
            evals = self._eval_sets(objective, eval_set, eval_sample_weight, eval_base_margin)
            if self.early_stopping_rounds is not None and not evals:
                matrix, target, weight, base_margin, held = self._hold_out(
                    matrix, target, weight, base_margin, objective
                )
                evals = [held]
            labels = objective.prepare(Labels(outputs_first(target), weight))
            self._boost(matrix, labels, objective, evals, base_margin)
        return self

    def refit(self, X: Any, y: Any, sample_weight: Any = None, *, keep: float = 0.0) -> Any:
        """New leaf values from other rows; the splits stay (see `pyllm.trees.refit`).

        Args:
            X, y, sample_weight: as for fit; classes must be known.
            keep: share of the old values; leaves that no row reaches keep theirs.
        """
        check_is_fitted(self)
        if self.booster == "dart":
            raise ValueError("booster: expected gbtree to refit")
        with threads(self.n_jobs):
            matrix = self._read(X, fitting=False)
            check_consistent_length(matrix, y)
            labels = Labels(outputs_first(self._read_eval_target(y)), read_weight(sample_weight, X))
            self.forest_ = refit(
                self.forest_,
                matrix,
                self.objective_.prepare(labels),
                self.objective_,
                learning_rate=self._boost_parameters(0).rate,
                reg_lambda=self.reg_lambda,
                keep=keep,
                monotone=self._tree_parameters(matrix.shape).monotone,
            )
        return self

    def _read_target(self, y: Any) -> NDArray:
        raise NotImplementedError

    def _read_eval_target(self, y: Any) -> NDArray:
        raise NotImplementedError

    def _objective(self, target: NDArray) -> Objective:
        raise NotImplementedError

    def _weigh(self, weight: FloatArray | None, target: NDArray) -> FloatArray | None:
        return weight

    def _eval_sets(
        self, objective: Objective, eval_set: EvalSets, weights: Any, margins: Any
    ) -> list[EvalSet]:
        sets = named_sets(eval_set)
        weights = one_each("eval_sample_weight", weights, sets)
        margins = one_each("eval_base_margin", margins, sets)
        evals = []
        for name, (X, y) in sets.items():
            matrix = self._read(X, fitting=False)
            check_consistent_length(matrix, y)
            labels = Labels(
                outputs_first(self._read_eval_target(y)), read_weight(weights[name], matrix)
            )
            evals.append(EvalSet(name, matrix, objective.prepare(labels), margins[name]))
        return evals

    def _hold_out(
        self,
        X: Any,
        target: NDArray,
        weight: FloatArray | None,
        base_margin: Any,
        objective: Objective,
    ) -> tuple[Any, NDArray, FloatArray | None, Any, EvalSet]:
        if isinstance(X, Dataset):
            raise ValueError(
                "early_stopping_rounds: a Dataset or blocks cannot be parted; pass an eval_set"
            )
        require_number("validation_fraction", self.validation_fraction)
        if not 0.0 < self.validation_fraction < 1.0:
            raise ValueError(
                f"validation_fraction: expected between 0 and 1, got {self.validation_fraction}"
            )
        rows, held = train_test_split(
            np.arange(len(target)),
            test_size=self.validation_fraction,
            random_state=draw_seed(self.random_state),
            stratify=target if isinstance(self, ClassifierMixin) else None,
        )
        rows, held = np.sort(rows), np.sort(held)

        def part(array: Any, at: Any) -> Any:
            return None if array is None else array[at]

        labels = Labels(outputs_first(target[held]), part(weight, held))
        evaluation = EvalSet(
            "validation", X[held], objective.prepare(labels), part(base_margin, held)
        )
        return X[rows], target[rows], part(weight, rows), part(base_margin, rows), evaluation


def outputs_first(target: NDArray) -> NDArray:
    return np.ascontiguousarray(target.T)
