"""What single trees and forests of averaged trees share: how they are grown, and y.

A leaf holds the mean of its rows: of the targets, or of one 0/1 column a class, which are
probabilities. Both come out of the engine that boosting uses, with the gradients -w y and the
hessians w: the value of a leaf is then sum(w y) / sum(w), and the gain of a split is what it
lowers the variance by, which for class columns is Gini impurity; entropy and Poisson deviance are
likelihoods of these same sums. Several columns grow one tree whose leaves are vectors; two classes
need one column only.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from pyllm import _cpu
from pyllm.ensemble.constraints import monotone_signs
from pyllm.ensemble.finishing import Finishing
from pyllm.ensemble.learner import draw_seed, keep_weighted, read_weight, threads
from pyllm.ensemble.out_of_bag import OutOfBag
from pyllm.ensemble.prebinned import BinnedTrees
from pyllm.ensemble.resampling import Bootstrap
from pyllm.ensemble.tree_limits import feature_share, leaf_share, not_negative, row_count
from pyllm.trees.averaged import grow_averaged
from pyllm.trees.dataset import Dataset
from pyllm.trees.tree_parameters import TreeParameters

FloatArray = NDArray[np.float64]

_LOW, _HIGH = 1e-9, 1e15  # of the largest weight: times a target it stays within float32


class AveragedTrees(BinnedTrees):
    """Base of trees whose predictions are averaged. Subclasses say how many, and how drawn."""

    criterion: Any
    max_depth: int | None
    max_leaf_nodes: int | None
    min_samples_split: int | float
    min_samples_leaf: int | float
    min_impurity_decrease: float
    ccp_alpha: float
    min_weight_fraction_leaf: float
    max_features: Any
    class_weight: Any
    monotonic_cst: Any
    random_state: Any

    extra_random = False

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """Grow the trees.

        Args:
            X: (n_samples, n_features), see `TreeEstimator`; or a `pyllm.trees.Dataset`, or blocks
                of rows, see `BinnedTrees`. These draw bootstrap rows by where they stand.
            y: (n_samples,), or (n_samples, n_targets) for several regression targets.
            sample_weight: (n_samples,), not negative. A whole number is the same as the row so
                many times.

        Raises:
            ValueError: something does not fit; the message names it.
        """
        with threads(self.n_jobs):
            matrix = self._read(X, fitting=True)
            columns = self._read_target(y)  # (n, n_outputs)
            check_consistent_length(matrix, columns)
            weight = _in_range(self._weigh(read_weight(sample_weight, matrix)))
            weight, matrix, (columns,) = keep_weighted(weight, matrix, columns)
            self._grow(matrix, columns, weight)
        return self

    def _read_target(self, y: Any) -> FloatArray:
        raise NotImplementedError

    def _weigh(self, weight: FloatArray | None) -> FloatArray | None:
        return weight

    def _count(self) -> int:
        """How many trees."""
        return 1

    def _going_on(self) -> bool:
        """Whether the trees there are stay, and more are grown."""
        return False

    def _grow(self, X: Any, columns: FloatArray, weight: FloatArray | None) -> None:
        n, outputs = columns.shape
        going_on = self._going_on()
        if not going_on:
            self._seed = draw_seed(self.random_state)
        dataset = X if isinstance(X, Dataset) else self._bin(X, weight)
        draws = self._draws(X, columns, weight)
        if draws is None and weight is not None and not weight.all():  # keep_weighted kept them
            raise ValueError(
                "sample_weight: expected none of 0 for a Dataset or blocks without bootstrap"
            )
        # The draw goes by the weights: they don't count again.
        total = draws.size if draws else n if weight is None else weight.sum()
        parameters = self._tree_parameters(X.shape, outputs, float(total))
        there = len(self.forest_) if going_on else 0
        seeds = [_tree_seed(self._seed, t) for t in range(there, self._count())]
        bag = self._out_of_bag(n, outputs)
        finishing = self._finishing(outputs)
        keep_rows = finishing.needed or bag is not None
        # Rows by tree take memory: then as few trees at a time as keep the threads busy.
        step = _cpu.num_threads() if keep_rows else max(len(seeds), 1)
        forests = [self.forest_] if going_on else []
        interrupted = None
        with self._progress(len(seeds)) as progress:
            for first in range(0, len(seeds), step):
                try:
                    grown = grow_averaged(
                        dataset,
                        columns,
                        parameters,
                        seeds[first : first + step],
                        centre=self._centre(columns, weight),
                        weight=weight,
                        bootstrap=draws.engine if draws else None,
                        keep_rows=keep_rows,
                        feature_names=self._names(),
                        progress=progress and partial(_tell, progress, first),
                    )
                    if finishing.needed:
                        grown = finishing.finish(grown, columns, weight)
                    if bag is not None and grown.drawn is not None:
                        bag.add(grown)
                    forests.append(grown.forest)
                    if grown.interrupted:
                        raise KeyboardInterrupt
                except KeyboardInterrupt as e:
                    interrupted = e  # the trees so far are a forest
                    break
        forests = [forest for forest in forests if len(forest)]
        if interrupted and not forests:
            self.__dict__.pop("forest_", None)  # of other classes, perhaps
            raise interrupted
        trees = [tree for forest in forests[1:] for tree in forest.trees()]
        self.forest_ = forests[0].append(*trees) if trees else forests[0]
        if bag is not None:
            self._score_out_of_bag(columns, weight, bag)
        if interrupted:
            raise interrupted

    def _bin(self, X: Any, weight: FloatArray | None) -> Dataset:
        return Dataset(
            X,
            max_bin=self.max_bin,
            enable_bundle=self.enable_bundle,
            categorical=sorted(self._encoding.categories),
            weight=weight,
        )

    @contextmanager
    def _progress(self, trees: int) -> Iterator[Callable[[int], None] | None]:
        """What is told how many of the trees are done."""
        yield None

    def _finishing(self, outputs: int) -> Finishing:
        return Finishing(
            criterion=self._engine_criterion(outputs),
            ccp_alpha=not_negative("ccp_alpha", self.ccp_alpha),
            monotone=monotone_signs(self.monotonic_cst, self._names()),
            impurity_scale=self._impurity_scale(outputs),
        )

    def _centre(self, columns: FloatArray, weight: FloatArray | None) -> FloatArray:
        """(n_outputs,): targets far from 0 would lose their digits in float32 gradients.

        Likelihoods are those of the targets themselves.
        """
        criterion = self._engine_criterion(columns.shape[1])
        if criterion == "absolute":  # whole numbers stay such
            return np.floor(np.median(columns, axis=0))
        if criterion != "newton":
            return np.zeros(columns.shape[1])
        return np.average(columns, axis=0, weights=weight)

    def _draws(self, X: Any, columns: FloatArray, weight: FloatArray | None) -> Bootstrap | None:
        return None

    def _out_of_bag(self, n: int, outputs: int) -> OutOfBag | None:
        """What gathers means out of the bag, where they are asked for."""
        return None

    def _score_out_of_bag(
        self, columns: FloatArray, weight: FloatArray | None, bag: OutOfBag
    ) -> None:
        raise NotImplementedError

    def _engine_criterion(self, outputs: int) -> Any:
        """`criterion` in the engine's words (`TreeParameters`)."""
        raise NotImplementedError

    def _impurity_scale(self, outputs: int) -> float:
        """Impurity as users know it per unit of the engine's gain."""
        raise NotImplementedError

    def _tree_parameters(
        self, shape: tuple[int, int], outputs: int, total_weight: float
    ) -> TreeParameters:
        n, n_features = shape
        decrease = not_negative("min_impurity_decrease", self.min_impurity_decrease)
        least = leaf_share("min_weight_fraction_leaf", self.min_weight_fraction_leaf)
        features = self.max_features
        if features == "auto":
            features = "sqrt" if isinstance(self, ClassifierMixin) else None
        return TreeParameters(
            criterion=self._engine_criterion(outputs),
            colsample_bynode=feature_share(features, n_features),
            extra_random=self.extra_random,
            growth="depthwise" if self.max_leaf_nodes is None else "leafwise",
            max_depth=self.max_depth,
            max_leaves=self.max_leaf_nodes,
            min_child_samples=row_count("min_samples_leaf", self.min_samples_leaf, n, 1),
            min_split_samples=row_count("min_samples_split", self.min_samples_split, n, 2),
            gamma=decrease * total_weight / self._impurity_scale(outputs),
            min_child_weight=least * total_weight,
            reg_lambda=0.0,
            min_category_samples=0,
            min_group_samples=0,
            monotone=monotone_signs(self.monotonic_cst, self._names()),
        )

    def _means(self, X: Any) -> FloatArray:
        """(n, n_outputs)."""
        check_is_fitted(self)
        matrix = self._read(X, fitting=False)
        with threads(self.n_jobs):
            return self.forest_.predict(matrix)


def _in_range(weight: FloatArray | None) -> FloatArray | None:
    """Weights that float32 can hold: only their shares count, so a power of two is taken out."""
    if weight is None:
        return None
    largest = float(weight.max(initial=0.0))
    if largest == 0.0 or _LOW <= largest <= _HIGH:
        return weight
    return np.ldexp(weight, -int(np.frexp(largest)[1]))


def _tell(progress: Callable[[int], None], before: int, done: int) -> None:
    progress(before + done)


def _tree_seed(seed: int, tree: int) -> int:
    return int(np.random.Philox(key=[seed, 4], counter=[0, 0, 0, tree]).random_raw())
