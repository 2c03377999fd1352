"""One tree from gradients and hessians."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from pyllm import cuda
from pyllm.device_array import is_on_device
from pyllm.trees.categories import category_fields
from pyllm.trees.checks import require_whole
from pyllm.trees.dataset import Dataset
from pyllm.trees.device import kernels_on
from pyllm.trees.leaf_values import set_medians
from pyllm.trees.tree import Tree
from pyllm.trees.tree_parameters import TreeParameters


@dataclass(frozen=True)
class Grown:
    """A tree and where the rows of its data set are.

    Attributes:
        tree: the learning rate is not applied.
        leaf_of_row: (n_samples,) int32, the node of the leaf of every row, whether or not it took
            part; on the device where the gradient was there.
    """

    tree: Tree
    leaf_of_row: Any


def grow_tree(
    dataset: Dataset,
    gradient: Any,
    hessian: Any,
    parameters: TreeParameters,
    *,
    seed: int = 0,
    rows: Any = None,
) -> Grown:
    """Grow a tree on the gradients of a loss.

    The same arguments give bitwise the same tree at any number of threads and on any instruction
    set: splits are chosen by integer sums of gradients in fixed point. Ctrl-C stops between splits.

    Args:
        dataset: the features.
        gradient, hessian: (n_samples,), or (n_samples, n_outputs) for one tree whose leaves are
            vectors and whose gains are summed over outputs; converted to float32. Weights are
            multiplied in. On the device of the data set, or on the CPU.
        parameters: how to grow.
        seed: of whatever is drawn at random.
        rows: (n,) rising row numbers, the rows that take part. Default: all.

    Raises:
        ValueError: shapes that do not match the data set, values that are not finite, no rows;
            gradients above 0, or below -hessian, that no likelihood has.
    """
    if dataset.n_samples == 0:
        raise ValueError("dataset: expected at least one row")
    require_whole("seed", seed, 0, (1 << 64) - 1)
    g, h = _derivative(gradient, dataset.device), _derivative(hessian, dataset.device)
    if g.ndim not in (1, 2) or g.shape[0] != dataset.n_samples or 0 in g.shape:
        n = dataset.n_samples
        raise ValueError(f"gradient: expected shape ({n},) or ({n}, outputs), got {g.shape}")
    if h.shape != g.shape:
        raise ValueError(f"hessian: expected the shape of gradient, {g.shape}, got {h.shape}")
    if h.strides != g.strides:
        g, h = g.copy(), h.copy()
    options = parameters.options(dataset.n_features, dataset.device)
    if parameters.criterion not in ("newton", "absolute"):
        _check_likelihood(parameters.criterion, g, h)
    grown = kernels_on(dataset.device).tree_grow(
        dataset._bins,
        g.reshape(dataset.n_samples, -1) if g.ndim == 1 else g,
        h.reshape(dataset.n_samples, -1) if h.ndim == 1 else h,
        None if rows is None else np.ascontiguousarray(rows, np.int32),
        options,
        seed,
        parameters.quantized,
    )
    leaf_of_row = grown.pop("leaf_of_row")
    if is_on_device(leaf_of_row) and not is_on_device(gradient):
        leaf_of_row = leaf_of_row.numpy()
    threshold = _thresholds(dataset, grown["feature"], grown.pop("bin"))
    categories = category_fields(
        dataset.categories, grown["feature"], grown.pop("category_offset"), grown.pop("categories")
    )
    tree = Tree(threshold=threshold, **grown, **categories)
    if parameters.criterion == "absolute":
        weight = np.asarray(h.reshape(dataset.n_samples, -1), np.float64)
        target = -np.divide(g.reshape(weight.shape), weight, where=weight > 0, out=weight * 0)
        set_medians(tree, leaf_of_row, target, np.ascontiguousarray(weight[:, 0]), rows)
    return Grown(tree, leaf_of_row)


def _check_likelihood(criterion: str, gradient: np.ndarray, hessian: np.ndarray) -> None:
    if (gradient > 0).any():
        raise ValueError(f"gradient: expected none above 0 (-weight * y) for {criterion}")
    if criterion != "poisson" and (gradient < -hessian).any():
        raise ValueError(f"gradient: expected -hessian or more (y up to 1) for {criterion}")


def edges_of(dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """The cuts after the bins of all features; and where each feature's begin, and the end.

    After a feature's last bin it is infinity, which only missing values are beyond.
    """
    edges = np.concatenate([*(np.append(cuts, np.inf) for cuts in dataset.cuts), [np.inf]])
    return edges, np.cumsum([0, *(len(cuts) + 1 for cuts in dataset.cuts)], dtype=np.int64)


def _derivative(given: Any, device: str) -> Any:
    """float32, on the device."""
    if is_on_device(given):
        return given
    array = np.asarray(given, np.float32)
    return array if device == "cpu" else cuda.move(array, device)


def _thresholds(dataset: Dataset, feature: np.ndarray, bins: np.ndarray) -> np.ndarray:
    """The cut after a bin."""
    threshold = np.zeros(len(feature))
    numerical = np.array([known is None for known in dataset.categories], np.bool_)
    split = np.flatnonzero(feature >= 0)
    split = split[numerical[feature[split]]]
    edges, first = edges_of(dataset)
    threshold[split] = edges[first[feature[split]] + bins[split]]
    return threshold
