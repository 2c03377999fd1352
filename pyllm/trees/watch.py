"""What can watch boosting, and stop it. A callback overrides the methods it needs."""

import math
from typing import TYPE_CHECKING

from rich.console import Console

from pyllm.trees.bar import Bar
from pyllm.trees.checks import require_number, require_whole
from pyllm.trees.objective import FloatArray

if TYPE_CHECKING:
    from pyllm.trees.boost import Booster


class Callback:
    """Base of all callbacks: does nothing.

    best: (rounds, weights of the rounds) of the model to keep, or None for all of it.
    """

    best: tuple[int, FloatArray] | None = None

    def on_start(self, booster: "Booster", n_rounds: int) -> None: ...

    def on_round(self, booster: "Booster") -> bool | None:
        """After each round; true ends the boosting."""

    def on_end(self, booster: "Booster") -> None: ...


class EarlyStopping(Callback):
    """Ends when a metric has not got better by more than min_delta for `patience` rounds.

    The model keeps the rounds up to the best one.

    Args:
        metric: name of the metric to watch; None: the first.
        eval_set: name of the rows to watch; None: the last.
    """

    def __init__(
        self,
        patience: int,
        min_delta: float = 0.0,
        metric: str | None = None,
        eval_set: str | None = None,
    ) -> None:
        require_whole("early_stopping_rounds", patience, 1)
        require_number("min_delta", min_delta)
        if not min_delta >= 0:
            raise ValueError(f"min_delta: expected at least 0, got {min_delta}")
        self.patience, self.min_delta = patience, min_delta
        self.metric, self.eval_set = metric, eval_set

    def on_start(self, booster: "Booster", n_rounds: int) -> None:
        sets, metrics = list(booster.history), booster.metrics
        if not sets or not metrics:
            raise ValueError("early_stopping_rounds: needs an eval set to watch")
        self._set = sets[-1] if self.eval_set is None else self.eval_set
        if self._set not in sets:
            raise ValueError(f"eval_set: expected one of {', '.join(sets)}, got {self._set!r}")
        names = [m.name for m in metrics]
        self._name = names[0] if self.metric is None else self.metric
        if self._name not in names:
            raise ValueError(f"metric: expected one of {', '.join(names)}, got {self._name!r}")
        self._sign = -1.0 if metrics[names.index(self._name)].higher_is_better else 1.0
        self._lowest = math.inf
        self.best = None

    def on_round(self, booster: "Booster") -> bool:
        value = self._sign * booster.history[self._set][self._name][-1]
        if self.best is None or value < self._lowest - self.min_delta:
            self._lowest = value if not math.isnan(value) else math.inf
            self.best = (booster.n_rounds, booster.dart.weights)
        return booster.n_rounds - self.best[0] >= self.patience


class ProgressBar(Callback):
    """A live bar on a terminal; elsewhere a line for each tenth. Shows the last of each metric."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console

    def on_start(self, booster: "Booster", n_rounds: int) -> None:
        self._bar = Bar("round", n_rounds, self._console)
        self._bar.start()

    def on_round(self, booster: "Booster") -> None:
        text = " · ".join(
            f"{set_name} {name} {values[-1]:.5g}"
            for set_name, metrics in booster.history.items()
            for name, values in metrics.items()
        )
        self._bar.update(booster.n_rounds, text)

    def on_end(self, booster: "Booster") -> None:
        self._bar.stop()
