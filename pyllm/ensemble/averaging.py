"""What single trees and forests of averaged trees share: how they are grown, and y.

A leaf holds the mean of its rows: of the targets, or of one 0/1 column a class, which are
probabilities. Both come out of the engine that boosting uses, with the gradients -w y and the
hessians w: the value of a leaf is then sum(w y) / sum(w), and the gain of a split is what it
lowers the variance by, which for class columns is Gini impurity; entropy and Poisson deviance are
likelihoods of these same sums. Several columns grow one tree whose leaves are vectors; two classes
need one column only.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    check_consistent_length,
    check_is_fitted,
    column_or_1d,
)

from pyllm import _cpu
from pyllm.ensemble.boosting import keep_weighted
from pyllm.ensemble.constraints import monotone_signs
from pyllm.ensemble.explain import ExplainedTrees
from pyllm.ensemble.learner import draw_seed, read_targets, read_weight, threads
from pyllm.ensemble.resampling import Bootstrap
from pyllm.trees.averaged import Averaged, grow_averaged
from pyllm.trees.checks import require_number, require_whole
from pyllm.trees.grow import Dataset, TreeParameters
from pyllm.trees.leaf_values import set_medians
from pyllm.trees.monotone import bound_values
from pyllm.trees.prune import prune
from pyllm.trees.risk import absolute_risk, likelihood_risk, squared_risk
from pyllm.trees.tree import Tree

FloatArray = NDArray[np.float64]

_LOW, _HIGH = 1e-9, 1e15  # of the largest weight: times a target it stays within float32


class AveragedTrees(ExplainedTrees):
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
    max_bin: int
    enable_bundle: bool
    monotonic_cst: Any
    random_state: Any

    extra_random = False

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """Grow the trees.

        Args:
            X: (n_samples, n_features), see `TreeEstimator`.
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
        dataset = Dataset(
            X,
            max_bin=self.max_bin,
            enable_bundle=self.enable_bundle,
            categorical=sorted(self._encoding.categories),
            weight=weight,
        )
        draws = self._draws(X, columns, weight)
        # The draw goes by the weights: they don't count again.
        total = draws.size if draws else n if weight is None else weight.sum()
        parameters = self._tree_parameters(X.shape, outputs, float(total))
        there = len(self.forest_) if going_on else 0
        seeds = [_tree_seed(self._seed, t) for t in range(there, self._count())]
        sums, votes = self._out_of_bag_start(n, outputs)
        medians, monotone = parameters.criterion == "absolute", parameters.monotone is not None
        changes = self.ccp_alpha > 0.0 or medians or monotone
        keep_rows = changes or sums is not None
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
                    if changes:
                        grown = self._change(grown, columns, weight, parameters)
                    if sums is not None and grown.drawn is not None:
                        _add_out_of_bag(grown, sums, votes)
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
        if sums is not None:
            self._out_of_bag(columns, weight, sums, votes)
        if interrupted:
            raise interrupted

    @contextmanager
    def _progress(self, trees: int) -> Iterator[Callable[[int], None] | None]:
        """What is told how many of the trees are done."""
        yield None

    def _change(
        self, grown: Averaged, columns: FloatArray, weight: FloatArray | None, parameters: Any
    ) -> Averaged:
        """The trees pruned, their values medians and kept monotone, as asked for."""
        assert grown.leaf_of_row is not None
        trees, leaves = grown.forest.trees(), list(grown.leaf_of_row)
        for t, tree in enumerate(trees):
            each = np.ones(len(columns)) if weight is None else weight
            if grown.drawn is not None:
                each = grown.drawn[t].astype(np.float64)
            if self.ccp_alpha > 0.0:
                risk = self._risk(tree, leaves[t], columns, each)
                trees[t], place = prune(tree, risk, self.ccp_alpha)
                leaves[t] = place[leaves[t]]
            trees[t] = trees[t].with_value(trees[t].value.copy())
            if parameters.criterion == "absolute":
                set_medians(trees[t], leaves[t], columns, each)
            if parameters.monotone is not None:
                bound_values(trees[t], parameters.monotone)
        forest = grown.forest.with_trees(trees, grown.forest.tree_output)
        return replace(grown, forest=forest, leaf_of_row=np.array(leaves))

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

    def _out_of_bag_start(self, n: int, outputs: int) -> tuple[Any, Any]:
        return None, None

    def _out_of_bag(
        self,
        columns: FloatArray,
        weight: FloatArray | None,
        sums: FloatArray,
        votes: NDArray[np.int64],
    ) -> None: ...

    def _engine_criterion(self, outputs: int) -> Any:
        """`criterion` in the engine's words (`TreeParameters`)."""
        raise NotImplementedError

    def _impurity_scale(self, outputs: int) -> float:
        """Impurity as users know it per unit of the engine's gain."""
        raise NotImplementedError

    def _risk(
        self, tree: Tree, leaf: NDArray[np.int32], columns: FloatArray, weight: FloatArray
    ) -> FloatArray:
        """(n_nodes,): impurity times the share of the rows."""
        outputs = columns.shape[1]
        criterion = self._engine_criterion(outputs)
        if criterion == "newton":
            centred = columns - np.average(columns, axis=0, weights=weight)
            risk = squared_risk(tree, leaf, centred, weight)
        elif criterion == "absolute":
            risk = absolute_risk(tree, leaf, columns, weight)
        else:
            risk = likelihood_risk(tree, leaf, columns, weight, criterion)
        return self._impurity_scale(outputs) * risk

    def _tree_parameters(
        self, shape: tuple[int, int], outputs: int, total_weight: float
    ) -> TreeParameters:
        n, n_features = shape
        for name in ("min_impurity_decrease", "ccp_alpha", "min_weight_fraction_leaf"):
            require_number(name, getattr(self, name))
        for name in ("min_impurity_decrease", "ccp_alpha"):
            if not getattr(self, name) >= 0.0:
                raise ValueError(f"{name}: expected 0 or more, got {getattr(self, name)}")
        if not 0.0 <= self.min_weight_fraction_leaf <= 0.5:
            raise ValueError(
                f"min_weight_fraction_leaf: expected 0 to 0.5, got {self.min_weight_fraction_leaf}"
            )
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
            gamma=self.min_impurity_decrease * total_weight / self._impurity_scale(outputs),
            min_child_weight=self.min_weight_fraction_leaf * total_weight,
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


def _add_out_of_bag(grown: Averaged, sums: FloatArray, votes: NDArray[np.int64]) -> None:
    assert grown.leaf_of_row is not None
    assert grown.drawn is not None
    for t, tree in enumerate(grown.forest.trees()):
        out = np.flatnonzero(grown.drawn[t] == 0)
        sums[out] += tree.value[grown.leaf_of_row[t, out]]
        votes[out] += 1


def _tree_seed(seed: int, tree: int) -> int:
    return int(np.random.Philox(key=[seed, 4], counter=[0, 0, 0, tree]).random_raw())


def row_count(name: str, value: Any, n: int, low: int) -> int:
    """A number of rows, given as it is or as a share of all (a float)."""
    if isinstance(value, (float, np.floating)):
        if not 0.0 < value <= 1.0:
            raise ValueError(f"{name}: expected a share above 0 and up to 1, got {value}")
        return max(low, int(np.ceil(value * n)))
    require_whole(name, value, low)
    return int(value)


def feature_share(max_features: Any, n_features: int) -> float:
    """max_features as scikit-learn takes it, as the share of the features a node draws."""
    if max_features is None:
        return 1.0
    if max_features == "sqrt":
        count = max(1, int(np.sqrt(n_features)))
    elif max_features == "log2":
        count = max(1, int(np.log2(n_features)))
    elif isinstance(max_features, (int, np.integer)) and max_features >= 1:
        count = min(int(max_features), n_features)
    elif isinstance(max_features, (float, np.floating)) and 0.0 < max_features <= 1.0:
        count = max(1, int(max_features * n_features))
    else:
        raise ValueError(
            "max_features: expected 'sqrt', 'log2', None, a number of features or a share of them, "
            f"got {max_features!r}"
        )
    return count / n_features


class AveragedClassifier(ClassifierMixin, AveragedTrees):
    """y as one 0/1 column a class, means as probabilities."""

    classes_: NDArray

    def _engine_criterion(self, outputs: int) -> Any:
        if self.criterion in ("auto", "gini"):
            return "newton"
        if self.criterion in ("entropy", "log_loss"):
            return "bernoulli" if outputs == 1 else "multinomial"
        raise ValueError(
            f"criterion: expected 'gini', 'entropy', 'log_loss' or 'auto', got {self.criterion!r}"
        )

    def _impurity_scale(self, outputs: int) -> float:
        if self._engine_criterion(outputs) != "newton":
            return 1.0 / np.log(2.0)  # entropy is in bits
        return 2.0 if outputs == 1 else 1.0  # one column stands for two classes

    def _read_target(self, y: Any) -> FloatArray:
        if y is None:
            raise ValueError("y: requires y to be passed, but the target y is None")
        y = column_or_1d(y, warn=True)
        check_classification_targets(y)
        self.classes_, self._target = np.unique(y, return_inverse=True)
        self.n_classes_ = len(self.classes_)
        if self.n_classes_ <= 2:
            return (self._target == self.n_classes_ - 1).astype(np.float64)[:, np.newaxis]
        return (self._target[:, np.newaxis] == np.arange(self.n_classes_)).astype(np.float64)

    def _centre(self, columns: FloatArray, weight: FloatArray | None) -> FloatArray:
        """0: gradients that are whole numbers leave a node of one class nothing to gain."""
        return np.zeros(columns.shape[1])

    def _weigh(self, weight: FloatArray | None) -> FloatArray | None:
        target = self.classes_[self._target]
        del self._target
        if self.class_weight is None:
            return weight
        factor = compute_sample_weight(self.class_weight, target)
        return factor if weight is None else weight * factor

    def predict_proba(self, X: Any) -> FloatArray:
        """(n_samples, n_classes): the mean share of each class in the leaves reached."""
        return self._probability(self._means(X))

    def predict(self, X: Any) -> NDArray:
        """(n_samples,): the most likely class; of equal ones the first."""
        index = self.predict_proba(X).argmax(1)
        return self.classes_[index]

    def predict_log_proba(self, X: Any) -> FloatArray:
        """log(predict_proba(X))."""
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def _probability(self, means: FloatArray) -> FloatArray:
        if self.n_classes_ == 1:
            return np.ones((len(means), 1))
        if self.n_classes_ == 2:
            means = np.column_stack([1.0 - means[:, 0], means[:, 0]])
        p = np.clip(means, 0.0, 1.0)
        return p / p.sum(1, keepdims=True)


class AveragedRegressor(RegressorMixin, AveragedTrees):
    """y as one column a target."""

    def _engine_criterion(self, outputs: int) -> Any:
        if self.criterion in ("auto", "squared_error", "friedman_mse"):
            return "newton"
        if self.criterion == "poisson":
            return "poisson"
        if self.criterion == "absolute_error":
            if self.monotonic_cst is not None:
                raise ValueError("monotonic_cst: expected None for criterion='absolute_error'")
            return "absolute"
        raise ValueError(
            "criterion: expected 'squared_error', 'absolute_error', 'poisson' or 'auto', "
            f"got {self.criterion!r}; other losses: the gradient boosting estimators"
        )

    def _impurity_scale(self, outputs: int) -> float:
        return 1.0 / outputs

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def _read_target(self, y: Any) -> FloatArray:
        columns = read_targets(y)
        if self.criterion == "friedman_mse":
            warnings.warn(
                "criterion='friedman_mse' is 'squared_error' by another name, deprecated",
                FutureWarning,
                stacklevel=3,
            )
        if self.class_weight is not None:
            raise ValueError("class_weight: expected None for regression")
        if self.criterion == "poisson" and ((columns < 0).any() or not columns.any()):
            raise ValueError(
                "y: expected no values below 0, and not all 0, for criterion='poisson'"
            )
        self._one_axis = columns.ndim == 1
        return columns[:, np.newaxis] if self._one_axis else columns

    def predict(self, X: Any) -> FloatArray:
        """(n_samples,) or (n_samples, n_targets): the mean of the leaves reached."""
        means = self._means(X)
        return means[:, 0] if means.shape[1] == 1 else means
