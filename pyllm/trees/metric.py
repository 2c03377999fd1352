"""What measures a model on validation rows, quick enough to run after every tree.

A metric is a function of the labels and the response, (n_outputs, n): class probabilities, means,
quantiles or ranking scores. `make_metric` finds one by name; names may carry a number after @, as
in "ndcg@10", "quantile@0.9" or "tweedie_deviance@1.5".
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyllm.trees.objective import FloatArray, Labels
from pyllm.trees.rank_metrics import average_precision, ndcg

# Probabilities below this count as this: one wrong row must not make the mean infinite.
_SMALLEST = 1e-15


@dataclass(frozen=True)
class Metric:
    """A measure by name: measure(labels, response) -> float."""

    name: str
    measure: Callable[[Labels, FloatArray], float]
    higher_is_better: bool = False


def average(values: FloatArray, labels: Labels) -> float:
    """The weighted mean over rows; the mean over outputs too if there are several."""
    if labels.weight is None:
        return float(np.mean(values))
    per_output = values @ labels.weight / np.sum(labels.weight)
    return float(np.mean(per_output))


def _aligned(labels: Labels, response: FloatArray) -> FloatArray:
    return response if labels.target.ndim == 2 else response[0]


def rmse(labels: Labels, response: FloatArray) -> float:
    error = _aligned(labels, response) - labels.target
    return float(np.sqrt(average(error * error, labels)))


def mse(labels: Labels, response: FloatArray) -> float:
    error = _aligned(labels, response) - labels.target
    return average(error * error, labels)


def mae(labels: Labels, response: FloatArray) -> float:
    return average(np.abs(_aligned(labels, response) - labels.target), labels)


def quantile(labels: Labels, response: FloatArray, level: float = 0.5) -> float:
    error = labels.target - _aligned(labels, response)
    return average(np.maximum(level * error, (level - 1.0) * error), labels)


def log_loss(labels: Labels, response: FloatArray) -> float:
    """Negative mean log-likelihood: of class numbers, or of probabilities if there is one output.

    A single output is the probability of class 1; targets may then be probabilities themselves.
    """
    if len(response) > 1:
        p = response[labels.target.astype(np.intp), np.arange(labels.n_samples)]
        return average(-np.log(np.maximum(p, _SMALLEST)), labels)
    p = np.clip(response[0], _SMALLEST, 1.0 - _SMALLEST)
    y = labels.target
    return average(-(y * np.log(p) + (1.0 - y) * np.log1p(-p)), labels)


def error(labels: Labels, response: FloatArray) -> float:
    """The share of rows whose most likely class is not theirs; equal ones: the first."""
    guess = response.argmax(0) if len(response) > 1 else response[0] > 0.5
    return average((guess != labels.target).astype(np.float64), labels)


def accuracy(labels: Labels, response: FloatArray) -> float:
    return 1.0 - error(labels, response)


def auc(labels: Labels, response: FloatArray) -> float:
    """Area under the ROC curve; with several classes the mean of each against the others.

    NaN where only one class is present.
    """
    if len(response) > 1:
        areas = [_auc(labels.target == k, p, labels.weight) for k, p in enumerate(response)]
        return float(np.mean(areas))
    return _auc(labels.target > 0, response[0], labels.weight)


def _auc(positive: NDArray[np.bool_], score: FloatArray, weight: FloatArray | None) -> float:
    order = np.argsort(score)
    score, hit = score[order], positive[order].astype(np.float64)
    miss = 1.0 - hit
    if weight is not None:
        hit, miss = hit * weight[order], miss * weight[order]
    # Rows of equal score share a step of the curve.
    last = np.append(np.flatnonzero(np.diff(score)), len(score) - 1)
    hits, misses = np.cumsum(hit)[last], np.cumsum(miss)[last]
    if not (hits[-1] > 0 and misses[-1] > 0):
        return float("nan")
    steps = np.diff(misses, prepend=0.0)
    above = hits[-1] - 0.5 * (hits + np.append(0.0, hits[:-1]))
    return float(np.sum(steps * above) / (hits[-1] * misses[-1]))


def poisson_deviance(labels: Labels, response: FloatArray) -> float:
    y, mean = labels.target, _aligned(labels, response)
    with np.errstate(divide="ignore", invalid="ignore"):
        y_log = np.where(y > 0, y * np.log(y / mean), 0.0)
    return 2.0 * average(y_log - y + mean, labels)


def gamma_deviance(labels: Labels, response: FloatArray) -> float:
    ratio = labels.target / _aligned(labels, response)
    return 2.0 * average(ratio - 1.0 - np.log(ratio), labels)


def tweedie_deviance(labels: Labels, response: FloatArray, power: float = 1.5) -> float:
    y, mean = labels.target, _aligned(labels, response)
    one, two = 1.0 - power, 2.0 - power
    return 2.0 * average(y**two / (one * two) - y * mean**one / one + mean**two / two, labels)


_PLAIN: dict[str, tuple[Callable[..., float], bool]] = {
    "rmse": (rmse, False),
    "mse": (mse, False),
    "mae": (mae, False),
    "log_loss": (log_loss, False),
    "error": (error, False),
    "accuracy": (accuracy, True),
    "auc": (auc, True),
    "poisson_deviance": (poisson_deviance, False),
    "gamma_deviance": (gamma_deviance, False),
}
# These take the number after @.
_WITH_NUMBER: dict[str, tuple[Callable[..., float], bool, Callable[[str], Any]]] = {
    "quantile": (quantile, False, float),
    "tweedie_deviance": (tweedie_deviance, False, float),
    "ndcg": (ndcg, True, int),
    "map": (average_precision, True, int),
}
# Names of XGBoost and LightGBM for the same.
_ALIASES = {
    "logloss": "log_loss",
    "mlogloss": "log_loss",
    "binary_logloss": "log_loss",
    "multi_logloss": "log_loss",
    "merror": "error",
    "l1": "mae",
    "l2": "mse",
}


def make_metric(metric: "str | Metric | Callable[..., Any]") -> Metric:
    """The metric of this name; a function of the caller's goes through `custom_metric`.

    Raises:
        ValueError: no metric has this name, or its number is out of range.
        TypeError: neither a name, a Metric nor a function.
    """
    if isinstance(metric, Metric):
        return metric
    if callable(metric):
        return custom_metric(metric)
    if not isinstance(metric, str):
        raise TypeError(
            f"metric: expected a name, a Metric or a function, got {type(metric).__name__}"
        )
    name, _, number = metric.partition("@")
    name = _ALIASES.get(name, name)
    if name in _PLAIN and not number:
        measure, higher = _PLAIN[name]
        return Metric(name, measure, higher)
    if name in _WITH_NUMBER:
        measure, higher, kind = _WITH_NUMBER[name]
        if not number:
            return Metric(name, measure, higher)
        try:
            value = kind(number)
        except ValueError:
            raise ValueError(f"metric: expected a number after @ in '{metric}'") from None
        if not value > 0:
            raise ValueError(f"metric: expected a positive number after @ in '{metric}'")
        return Metric(metric, lambda labels, r: measure(labels, r, value), higher)
    known = ", ".join([*_PLAIN, *_WITH_NUMBER])
    raise ValueError(f"metric: expected one of {known}, got '{metric}'")


def custom_metric(
    function: Callable[..., float], *, name: str | None = None, higher_is_better: bool = False
) -> Metric:
    """A metric from f(y_true, y_pred), or f(y_true, y_pred, sample_weight=) where it takes that.

    y_true and y_pred are (n,), or (n, n_outputs) for several outputs; classes are numbered, and
    their predictions are probabilities ((n,) of the second class if there are two).
    """
    takes_weight = "sample_weight" in inspect.signature(function).parameters

    def measure(labels: Labels, response: FloatArray) -> float:
        prediction = response[0] if len(response) == 1 else response.T
        extra = {"sample_weight": labels.weight} if takes_weight else {}
        return float(function(labels.target.T, prediction, **extra))

    label = str(name or getattr(function, "__name__", "custom"))
    return Metric(label, measure, higher_is_better)
