"""cross_entropy of logits: the loss without its probabilities ever being stored."""

from typing import Literal, TypeAlias

from pyllm.ops.backend import backend_of
from pyllm.ops.types import Array

Reduction: TypeAlias = Literal["mean", "sum", "none"]


def cross_entropy(
    logits: Array,
    targets: Array,
    *,
    weight: Array | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    reduction: Reduction = "mean",
    return_lse: bool = False,
) -> Array | tuple[Array, Array]:
    """Negative log-likelihood of the targets under softmax(logits).

    With lse the log-sum-exp of a row x with target y, s = label_smoothing, n classes:

        (1 - s) w[y] (lse - x[y]) + s / n sum_c w[c] (lse - x[c]) + z_loss w[y] lse^2

    Args:
        logits: (..., n); float32, bfloat16, float16 or float64; any strides. Classes come last.
        targets: (...), int32 or int64: the class of each row, or ignore_index.
        weight: (n,), dtype of logits: a weight per class; None weighs all by 1.
        ignore_index: rows with this target count for nothing.
        label_smoothing: in [0, 1]; the part of the target spread evenly over all classes.
        z_loss: weight of lse^2, which keeps the logits from drifting (PaLM, section 5).
        reduction: "none" gives one loss a row; "sum" their sum; "mean" divides the sum by the
            weights of the targets that are not ignored, as torch does: NaN if there are none.
        return_lse: also return lse (0 for ignored rows), which the backward needs.

    Returns:
        The loss, () or (...) for "none"; with return_lse a pair (loss, lse (...)). float64 for
        float64 logits, else float32: a bfloat16 loss would have three digits.

    Raises:
        TypeError: an argument is no array, or its dtype is not supported.
        ValueError: a target out of range (the message names it and its position), a shape that
            does not fit, an option out of range.
    """
    return backend_of(logits).cross_entropy(
        logits, targets, weight, ignore_index, label_smoothing, z_loss, reduction, return_lse
    )


def cross_entropy_backward(
    grad: Array | float,
    logits: Array,
    targets: Array,
    lse: Array,
    *,
    weight: Array | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    reduction: Reduction = "mean",
    out: Array | None = None,
) -> Array:
    """Gradient of `cross_entropy` with respect to the logits; zero in ignored rows.

    Args:
        grad: gradient with respect to the loss: a number or a single element, for "none" one a
            row; float32 or float64.
        logits, targets, and the options: as in the forward.
        lse: what the forward returned with return_lse=True.
        out: where to write the result: shape and dtype of logits; may be logits itself.
    """
    return backend_of(logits).cross_entropy_backward(
        grad,
        logits,
        targets,
        lse,
        weight,
        ignore_index,
        label_smoothing,
        z_loss,
        reduction,
        out,
    )
