"""The boosting loop: derivatives, trees, margins, round by round.

A `Booster` holds everything between two rounds and grows one with `step()`; `boost()` drives it
with callbacks to the end. Margins of training and validation rows are kept up to date by adding
the leaf values of each new tree, so a round costs the same however many came before.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from pyllm import _cpu, cuda
from pyllm.trees.boost_parameters import BoostParameters
from pyllm.trees.dart import Dart
from pyllm.trees.dataset import Dataset
from pyllm.trees.derivatives import Derivatives
from pyllm.trees.device import kernels_of, refuse
from pyllm.trees.forest import Forest
from pyllm.trees.grow import grow_tree
from pyllm.trees.leaf_values import average_upwards
from pyllm.trees.line_search import line_search
from pyllm.trees.metric import Metric
from pyllm.trees.monotone import bound_values
from pyllm.trees.objective import FloatArray, Labels, Objective
from pyllm.trees.row_losses import SquaredError
from pyllm.trees.tree import Tree
from pyllm.trees.tree_parameters import TreeParameters

if TYPE_CHECKING:
    from pyllm.trees.watch import Callback

# Philox streams of a seed: row draws, DART's draws and the trees must not share one.
_ROWS, _DROPS, _TREES = 1, 2, 3


@dataclass
class EvalSet:
    """Rows to watch. X as Forest.predict takes it; base_margin (n, n_outputs) or None."""

    name: str
    X: Any
    labels: Labels
    base_margin: FloatArray | None = None
    margin: FloatArray = field(init=False)


class Booster:
    """A model that grows. Read `n_rounds`, `forest()`, `history`; call `step()`.

    Args:
        dataset: the training rows, binned.
        labels: theirs, as objective.prepare() gave them.
        start: a forest to go on from (warm start); its margin of the training rows is then
            `start_margin` (n, n_outputs).
        base_margin: (n, n_outputs) known in advance; boosting then starts there, and predictions
            need the like.
        eval_sets, metrics: what step() measures.
    """

    def __init__(
        self,
        dataset: Dataset,
        labels: Labels,
        objective: Objective,
        parameters: BoostParameters,
        tree: TreeParameters,
        *,
        start: Forest | None = None,
        start_margin: FloatArray | None = None,
        base_margin: FloatArray | None = None,
        eval_sets: Sequence[EvalSet] = (),
        metrics: Sequence[Metric] = (),
    ) -> None:
        n, outputs = labels.n_samples, objective.n_outputs
        if dataset.n_samples != n:
            raise ValueError(f"y: expected {dataset.n_samples} rows as in X, got {n}")
        if dataset.device != "cpu":
            _check_device(parameters, objective, dataset.device)
        self.dataset, self.labels, self.objective = dataset, labels, objective
        self.parameters, self.tree = parameters, tree
        self.eval_sets = list(eval_sets)
        self.metrics: list[Metric] = list(metrics)
        self.start = start
        self.vector = parameters.multi_output == "vector" and outputs > 1
        self.rounds: list[list[Tree]] = []
        self.history: dict[str, dict[str, list[float]]] = {
            e.name: {m.name: [] for m in self.metrics} for e in self.eval_sets
        }
        self.margin = np.zeros((outputs, n))
        if start is not None:
            if start_margin is None or start.n_outputs != outputs:
                raise ValueError(f"start: expected a forest of {outputs} outputs and its margin")
            self.base_score = start.base_score
            self.margin += start_margin.T
        elif base_margin is not None:
            self.base_score = np.zeros(outputs)
        else:
            self.base_score = objective.initial_margin(labels)
            self.margin += self.base_score[:, np.newaxis]
        if base_margin is not None:
            self.margin += _as_outputs("base_margin", base_margin, outputs, n)
        for e in self.eval_sets:
            e.margin = np.zeros((outputs, e.labels.n_samples)) + self.base_score[:, np.newaxis]
            if start is not None:
                e.margin = np.ascontiguousarray(start.predict(e.X).T)
            if e.base_margin is not None:
                e.margin += _as_outputs("base_margin", e.base_margin, outputs, e.labels.n_samples)
        self._derivatives = Derivatives(objective, labels, dataset.device)
        self.margin = cuda.move(self.margin, dataset.device)
        self.dart = Dart(parameters, [self.margin, *(e.margin for e in self.eval_sets)])

    @property
    def n_rounds(self) -> int:
        return len(self.rounds)

    def step(self) -> None:
        """Grows the trees of one round and measures the validation rows.

        KeyboardInterrupt may come out of it; the model is then that of the rounds before.
        """
        round = self.first_round + self.n_rounds
        rate = self.parameters.rate(round)
        seed = self.parameters.seed
        drops = self.dart.drop(_key(seed, _DROPS, round)) if self.dart.active else None
        gradient, hessian = self._derivatives.at(self.margin)
        rows = self._draw(round, gradient, hessian)
        if self.parameters.first_order:
            hessian[...] = 1.0 if self.labels.weight is None else self.labels.row_weight
        trees: list[Tree] = []
        leaves = []
        for k in range(1 if self.vector else self.objective.n_outputs):
            g, h = (gradient.T, hessian.T) if self.vector else (gradient[k], hessian[k])
            key = _key(seed, _TREES, round * self.objective.n_outputs + k)
            grown = grow_tree(self.dataset, g, h, self.tree, seed=key, rows=rows)
            self._set_leaves(grown.tree, grown.leaf_of_row, k, rows)
            trees.append(grown.tree.scaled(rate))
            leaves.append(grown.leaf_of_row)
        reached = [leaves]
        for e in self.eval_sets:
            reached.append([self._leaves_of(tree, e.X) for tree in trees])
        if drops is None:
            margins = [self.margin, *(e.margin for e in self.eval_sets)]
            for margin, where in zip(margins, reached, strict=True):
                add_trees(margin, trees, where)
        else:
            self.dart.add(trees, reached, drops, rate)
        self.rounds.append(trees)
        self._measure()

    @property
    def first_round(self) -> int:
        """How many rounds the forest has that this one goes on from."""
        if self.start is None:
            return 0
        return self.start.n_trees // (1 if self.vector else self.objective.n_outputs)

    def _draw(self, round: int, gradient: Any, hessian: Any) -> Any:
        """The rows of this round, int32, or None for all."""
        p = self.parameters
        if p.sampling == "goss":
            return _cpu.tree_goss(
                gradient, hessian, p.top_rate, p.other_rate, p.seed, round << 8 | _ROWS
            )
        if p.subsample < 1.0:
            n = self.dataset.n_samples
            rows = _cpu.tree_sample_rows(n, p.subsample, p.seed, round << 8 | _ROWS)
            return rows if len(rows) else np.array([round % n], np.int32)
        return None

    def _set_leaves(self, tree: Tree, leaf: Any, output: int, rows: Any) -> None:
        """Leaf values by the loss itself, where one Newton step does not do."""
        objective = self.objective
        if not (objective.renews_leaves or self.parameters.first_order):
            return
        for k in range(objective.n_outputs) if self.vector else [output]:
            if objective.renews_leaves:
                value = objective.renew(
                    self.margin, self.labels, k, leaf, tree.n_nodes, self.labels.weight, rows
                )
            else:
                bag = None
                if rows is not None:
                    bag = np.zeros(self.dataset.n_samples)
                    bag[rows] = 1.0
                exact = isinstance(objective, SquaredError)
                value = line_search(
                    objective, self.margin, self.labels, k, leaf, tree.n_nodes, bag, exact
                )
            column = k if self.vector else 0
            is_leaf = tree.feature < 0
            tree.value[is_leaf, column] = value[is_leaf]
            average_upwards(tree, column)
        if self.tree.monotone is not None:
            bound_values(tree, self.tree.monotone)

    def _leaves_of(self, tree: Tree, X: Any) -> Any:
        one = Forest.concat(
            [tree],
            n_features=self.dataset.n_features,
            n_outputs=self.objective.n_outputs,
            tree_output=[-1 if self.vector else 0],
        )
        return np.ascontiguousarray(one.leaves(X)[:, 0])

    def _measure(self) -> None:
        for e in self.eval_sets:
            response = self.objective.response(e.margin)
            for metric in self.metrics:
                self.history[e.name][metric.name].append(metric.measure(e.labels, response))

    def forest(self, rounds: int | None = None, weights: FloatArray | None = None) -> Forest:
        """The model of the first `rounds` rounds (None: all), after those it started from.

        weights: of the rounds, as DART had them at an earlier time; None: as they are now.
        """
        rounds = self.n_rounds if rounds is None else rounds
        weights = self.dart.weights if weights is None else weights
        trees, outputs = [], []
        for r in range(rounds):
            for k, tree in enumerate(self.rounds[r]):
                trees.append(tree.scaled(weights[r]) if self.dart.active else tree)
                outputs.append(-1 if self.vector else k)
        if self.start is not None:
            return self.start.append(*trees, tree_output=outputs)
        return Forest.concat(
            trees,
            n_features=self.dataset.n_features,
            n_outputs=self.objective.n_outputs,
            base_score=self.base_score,
            tree_output=outputs,
            feature_names=self.dataset.feature_names,
        )


@dataclass
class Boosted:
    """What boost() made.

    forest: the model, cut to its best round if early stopping chose one; n_rounds: its rounds.
    history: values by eval set, metric and round. interrupted: Ctrl-C ended it.
    """

    forest: Forest
    n_rounds: int
    history: dict[str, dict[str, list[float]]]
    interrupted: bool = False


def boost(booster: Booster, n_rounds: int, callbacks: "Sequence[Callback]" = ()) -> Boosted:
    """Grows up to n_rounds rounds; a callback may end it. Ctrl-C ends it after the last whole one.

    Early stopping is a callback too (`pyllm.trees.watch`).
    """
    interrupted = False
    for callback in callbacks:
        callback.on_start(booster, n_rounds)
    try:
        for _ in range(n_rounds):
            booster.step()
            stop = [callback.on_round(booster) for callback in callbacks]
            if any(stop):
                break
    except KeyboardInterrupt:
        interrupted = True
    finally:
        for callback in callbacks:
            callback.on_end(booster)
    best = next((c.best for c in callbacks if c.best is not None), None)
    rounds, weights = best or (booster.n_rounds, booster.dart.weights)
    forest = booster.forest(rounds, weights)
    return Boosted(forest, booster.first_round + rounds, booster.history, interrupted)


def add_trees(margin: Any, trees: Sequence[Tree], leaves: Sequence[Any]) -> None:
    """Adds the values of the leaves that rows fall into: tree k to output k, or a vector tree."""
    for k, (tree, leaf) in enumerate(zip(trees, leaves, strict=True)):
        for column in range(tree.value.shape[1]):
            value = np.ascontiguousarray(tree.value[:, column])
            row = margin[k + column]
            kernels_of(row).tree_add_leaf_values(row, leaf, cuda.move(value, cuda.device_of(row)))


def _check_device(parameters: BoostParameters, objective: Objective, device: str) -> None:
    if parameters.booster != "gbtree":
        refuse("booster", f"{parameters.booster!r} is", device)
    if parameters.sampling != "uniform":
        refuse("sampling", f"{parameters.sampling!r} is", device, "use subsample")
    if parameters.first_order:
        refuse("first_order", "the line search in leaves is", device)
    if objective.renews_leaves:
        refuse("loss", f"{objective.name} renews the values of leaves, which is", device)


def _as_outputs(name: str, margin: Any, outputs: int, n: int) -> FloatArray:
    array = np.asarray(margin, np.float64)
    if array.ndim == 1 and outputs == 1:
        array = array[:, np.newaxis]
    if array.shape != (n, outputs):
        raise ValueError(f"{name}: expected shape {(n, outputs)}, got {np.shape(margin)}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name}: has values that are not finite")
    return array.T


def _key(seed: int, stream: int, index: int) -> int:
    """A seed of its own for each use of `seed`, 64 bits, by Philox."""
    bits = np.random.Philox(key=[seed, stream], counter=[0, 0, 0, index])
    return int(bits.random_raw())
