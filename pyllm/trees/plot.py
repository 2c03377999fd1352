"""Pictures of a forest, with matplotlib (extra `viz`). Each returns the axes it drew into."""

from typing import TYPE_CHECKING, Any

import numpy as np

from pyllm.trees.dump import condition, feature_name
from pyllm.trees.importance import importance

if TYPE_CHECKING:
    from pyllm.trees.forest import Forest

_MAX_LEAVES = 128


def plot_importance(
    forest: "Forest", *, kind: str = "gain", top: int | None = 20, axes: Any = None
) -> Any:
    """Bars of the features that matter most; kinds as in `Forest.importance`.

    Raises:
        ValueError: another kind, or `top` is below 1.
        ModuleNotFoundError: matplotlib is not installed.
    """
    if top is not None and top < 1:
        raise ValueError(f"top: expected at least 1, got {top}")
    values = importance(forest, kind)
    order = np.argsort(-values, kind="stable")[:top]
    order = order[values[order] > 0][::-1]
    axes = _axes(axes, (7, 0.8 + 0.28 * max(len(order), 1)))
    bars = axes.barh(np.arange(len(order)), values[order], color="#3b75af", height=0.7)
    axes.bar_label(bars, fmt=lambda v: f"{v:.4g}", padding=3, fontsize=8)
    axes.set_yticks(np.arange(len(order)), [feature_name(forest, int(f)) for f in order])
    axes.margins(x=0.12)
    axes.set(xlabel=kind.replace("_", " "), title="Feature importance")
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def plot_metrics(
    history: dict[str, dict[str, list[float]]],
    metric: str | None = None,
    *,
    best: int | None = None,
    axes: Any = None,
) -> Any:
    """Learning curves: a metric after each round, a line for each eval set.

    Args:
        history: values by eval set and metric, as `Boosted.history` or `evals_result_`.
        metric: which one; default: the first.
        best: a round to mark, counted from 1.

    Raises:
        ValueError: there are no eval sets, or none has this metric.
        ModuleNotFoundError: matplotlib is not installed.
    """
    names = list(dict.fromkeys(name for values in history.values() for name in values))
    if not names:
        raise ValueError("history: nothing was measured; fit with an eval set")
    metric = names[0] if metric is None else metric
    if metric not in names:
        raise ValueError(f"metric: expected one of {', '.join(names)}, got {metric!r}")
    axes = _axes(axes, (7, 4))
    rounds = 0
    for eval_set, values in history.items():
        if metric in values:
            rounds = max(rounds, len(values[metric]))
            axes.plot(np.arange(1, len(values[metric]) + 1), values[metric], label=eval_set)
    if best is not None and best < rounds:
        axes.axvline(best, color="#888888", linestyle=":", linewidth=1, label=f"round {best}")
    axes.set(xlabel="round", ylabel=metric, title="Learning curve")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    return axes


def plot_tree(forest: "Forest", tree: int = 0, *, axes: Any = None) -> Any:
    """One tree, the root on top, the branch for which the condition holds on the left. Dashed
    lines are where missing values go.

    Raises:
        IndexError: there is no such tree.
        ValueError: it has more than 128 leaves, too many to read; see `Forest.dump`.
        ModuleNotFoundError: matplotlib is not installed.
    """
    one = forest.tree(tree)
    if one.n_leaves > _MAX_LEAVES:
        raise ValueError(f"tree: {one.n_leaves} leaves are more than a picture can show")
    first = int(forest.tree_offset[tree % forest.n_trees])
    x, depth = _places(one.left, one.right)
    axes = _axes(axes, (max(5.0, 1.5 * one.n_leaves), 1.2 + 1.15 * (depth.max() + 1)))
    for node in np.flatnonzero(one.feature >= 0).tolist():
        for child, word in ((one.left[node], "yes"), (one.right[node], "no")):
            missing = (child == one.left[node]) == one.default_left[node]
            xs, ys = x[[node, child]], -depth[[node, child]]
            axes.plot(xs, ys, "--" if missing else "-", color="#888888", linewidth=1, zorder=1)
            axes.text(xs.mean(), ys.mean(), word, fontsize=7, color="#555555", ha="center",
                      va="center", zorder=2, bbox={"facecolor": "white", "edgecolor": "none",
                                                   "pad": 0.5})  # fmt: skip
    low, high = one.value.min(), one.value.max()
    for node in range(one.n_nodes):
        leaf = one.feature[node] < 0
        value = ", ".join(f"{v:.3g}" for v in one.value[node])
        count = one.count[node] if one.count.any() else None
        size = f"count {count}" if count is not None else f"cover {one.cover[node]:.4g}"
        text = f"{value}\n{size}" if leaf else f"{condition(forest, first + node)}\n{size}"
        axes.text(x[node], -depth[node], text, ha="center", va="center", fontsize=8, zorder=3,
                  bbox={"boxstyle": "round,pad=0.35", "linewidth": 0.8,
                        "edgecolor": "#2f6b3a" if leaf else "#3b75af",
                        "facecolor": _shade(one.value[node].mean(), low, high)
                        if leaf else "#eaf1f8"})  # fmt: skip
    axes.set(xlim=(-0.7, x.max() + 0.7), ylim=(-depth.max() - 0.6, 0.6))
    axes.set_axis_off()
    axes.set_title(f"tree {tree % forest.n_trees}")
    return axes


def _places(left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Leaves in a row from left to right, splits above the middle of their children."""
    x, depth = np.zeros(len(left)), np.zeros(len(left), np.int64)
    for node in np.flatnonzero(left >= 0).tolist():
        depth[left[node]] = depth[right[node]] = depth[node] + 1
    stack, leaves = [0], 0
    while stack:
        node = stack.pop()
        if left[node] < 0:
            x[node], leaves = leaves, leaves + 1
        else:
            stack += [int(right[node]), int(left[node])]
    for node in np.flatnonzero(left >= 0)[::-1].tolist():
        x[node] = (x[left[node]] + x[right[node]]) / 2
    return x, depth


def _shade(value: float, low: float, high: float) -> tuple[float, float, float]:
    """From white, the lowest value, to green."""
    share = (value - low) / (high - low) if high > low else 0.5
    return (1 - 0.45 * share, 1 - 0.15 * share, 1 - 0.42 * share)


def _axes(axes: Any, size: tuple[float, float]) -> Any:
    if axes is not None:
        return axes
    from matplotlib.figure import Figure

    return Figure(figsize=size, layout="constrained").subplots()
