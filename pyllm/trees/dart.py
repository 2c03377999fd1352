"""DART: dropouts meet multiple additive regression trees (Vinayak & Gilad-Bachrach, 2015).

Before a round, trees are dropped at random: the gradients are taken without them. The new trees
then share the place of the k dropped ones (XGBoost's rules, learning rate r already in the leaves):

    normalize_type  new trees     dropped trees
    tree            1 / (k + r)   k / (k + r)
    forest          1 / (1 + r)   1 / (1 + r)

The trees of a round drop together. To take a tree out of the margins its leaf in each row must be
known: they are kept in the smallest dtype that holds them, one or two bytes a row and tree.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyllm.trees.boost_parameters import BoostParameters
from pyllm.trees.objective import FloatArray
from pyllm.trees.tree import Tree


class Dart:
    """The weights of rounds, and the margins of training and validation rows under them."""

    def __init__(self, parameters: BoostParameters, margins: Sequence[FloatArray]) -> None:
        self.parameters = parameters
        self.active = parameters.booster == "dart"
        self.margins = list(margins)
        self.weights = np.ones(0)
        self._trees: list[list[Tree]] = []
        self._leaves: list[list[list[NDArray[Any]]]] = []  # by round, set of rows, tree

    def drop(self, seed: int) -> NDArray[np.intp]:
        """The rounds that sit out; their part of the training margins is taken out."""
        p, n = self.parameters, len(self.weights)
        rng = np.random.Generator(np.random.Philox(key=seed))
        skip, draws, fallback = rng.random(), rng.random(n), rng.random()
        if n == 0 or skip < p.skip_drop:
            return np.zeros(0, np.intp)
        share = self.weights / self.weights.sum() if p.sample_type == "weighted" else np.ones(n) / n
        dropped = np.flatnonzero(draws < p.rate_drop * n * share)
        if len(dropped) == 0 and p.one_drop:
            dropped = np.searchsorted(np.cumsum(share), fallback).clip(0, n - 1)[np.newaxis]
        for r in dropped.tolist():
            self._add(r, -self.weights[r], sets=slice(0, 1))
        return dropped

    def add(
        self,
        trees: list[Tree],
        leaves: list[list[NDArray[np.int32]]],
        dropped: NDArray[np.intp],
        rate: float,
    ) -> None:
        """Takes in the trees of a round (rate already in their leaves) and weighs all anew."""
        k = len(dropped)
        old = new = 1.0
        if k:
            forest = self.parameters.normalize_type == "forest"
            old, new = (1.0, 1.0) if forest else (float(k), 1.0)
            old, new = old / ((1.0 if forest else k) + rate), new / ((1.0 if forest else k) + rate)
        self._trees.append(trees)
        self._leaves.append(
            [
                [
                    leaf.astype(np.min_scalar_type(tree.n_nodes))
                    for tree, leaf in zip(trees, each, strict=True)
                ]
                for each in leaves
            ]
        )
        before = self.weights[dropped]
        weights = np.append(self.weights, new)
        weights[dropped] *= old
        self.weights = weights
        self._add(len(weights) - 1, new, sets=slice(None))
        for r, was in zip(dropped.tolist(), before, strict=True):
            self._add(r, weights[r], sets=slice(0, 1))
            self._add(r, weights[r] - was, sets=slice(1, None))

    def _add(self, round: int, factor: float, sets: slice) -> None:
        for margin, leaves in zip(self.margins[sets], self._leaves[round][sets], strict=True):
            for k, (tree, leaf) in enumerate(zip(self._trees[round], leaves, strict=True)):
                for column in range(tree.value.shape[1]):
                    margin[k + column] += (factor * tree.value[:, column])[leaf]
