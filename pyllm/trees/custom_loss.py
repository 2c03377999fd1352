"""A loss of the caller's own."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyllm.trees.objective import FloatArray, Labels, Objective


class CustomLoss(Objective):
    """A function f(y_true, margin) -> (gradient, hessian) as the loss.

    margin, gradient and hessian are (n,), or (n, n_outputs) for several outputs; sample weights
    are multiplied in afterwards. Boosting starts at margin 0. `like` is a built-in objective whose
    checks of y, metric and inverse link hold here too; None: y is any finite number, the response
    is the margin.
    """

    name = "custom"

    def __init__(
        self, function: Callable[..., Any], n_outputs: int = 1, like: Objective | None = None
    ) -> None:
        self.function, self.like = function, like
        self.n_outputs = n_outputs if like is None else like.n_outputs
        self.metric = "rmse" if like is None else like.metric
        self.link = "identity" if like is None else like.link

    def prepare(self, labels: Labels) -> Labels:
        return labels if self.like is None else self.like.prepare(labels)

    def initial_margin(self, labels: Labels) -> FloatArray:
        return np.zeros(self.n_outputs)

    def derivatives(
        self,
        margin: FloatArray,
        labels: Labels,
        gradient: NDArray[np.float32],
        hessian: NDArray[np.float32],
    ) -> None:
        single = self.n_outputs == 1
        given = self.function(labels.target.T, margin[0] if single else margin.T)
        if not (isinstance(given, tuple) and len(given) == 2):
            raise TypeError(
                "loss: the function must return a pair (gradient, hessian), "
                f"got {type(given).__name__}"
            )
        shape = margin.shape[1:] if single else margin.T.shape
        for name, result, out in zip(
            ("gradient", "hessian"), given, (gradient, hessian), strict=True
        ):
            values = np.asarray(result, np.float64)
            if values.shape != shape:
                raise ValueError(f"loss: expected a {name} of shape {shape}, got {values.shape}")
            if not np.isfinite(values).all():
                raise ValueError(f"loss: the {name} has values that are not finite")
            if labels.weight is not None:
                values = values * (labels.weight if single else labels.weight[:, np.newaxis])
            out[...] = values.T

    def response(self, margin: FloatArray) -> FloatArray:
        return margin if self.like is None else self.like.response(margin)
