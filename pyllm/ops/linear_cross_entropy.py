"""The vocabulary projection and its loss as one op: the logits are never all in memory."""

from pyllm.ops.backend import backend_of
from pyllm.ops.cross_entropy import Reduction
from pyllm.ops.types import Array


def linear_cross_entropy(
    hidden: Array,
    weight: Array,
    targets: Array,
    *,
    bias: Array | None = None,
    class_weight: Array | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    reduction: Reduction = "mean",
) -> Array:
    """cross_entropy(hidden weight^T + bias, targets), a chunk of rows at a time.

    Args:
        hidden: (..., in); float32, bfloat16, float16 or float64; any strides.
        weight: (classes, in), dtype of hidden.
        targets: (...), int32 or int64.
        bias: (classes,), dtype of hidden.
        class_weight, ignore_index, label_smoothing, z_loss, reduction: as in `cross_entropy`,
            whose `weight` is class_weight here.

    Returns:
        The loss, () or (...) for "none"; float64 for float64 inputs, else float32. Logits of
        16-bit inputs are kept in float32, never rounded.

    Raises:
        TypeError, ValueError: as `linear` and `cross_entropy`.
    """
    return backend_of(hidden).linear_cross_entropy(
        hidden,
        weight,
        targets,
        bias,
        class_weight,
        ignore_index,
        label_smoothing,
        z_loss,
        reduction,
    )


def linear_cross_entropy_forward_backward(
    hidden: Array,
    weight: Array,
    targets: Array,
    *,
    bias: Array | None = None,
    class_weight: Array | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    reduction: Reduction = "mean",
    dhidden_out: Array | None = None,
    dweight_out: Array | None = None,
    dbias_out: Array | None = None,
    accumulate: bool = False,
    grad_scale: float = 1.0,
) -> tuple[Array, Array, Array, Array | None]:
    """The loss and grad_scale times its gradients, in one pass over the chunks.

    Besides the gradients it needs one buffer of at most 52 MB (or 16 rows of logits).

    Args:
        hidden ... reduction: as in `linear_cross_entropy`. For "none" the gradients are those of
            the sum.
        dhidden_out, dweight_out, dbias_out: where to write; dweight_out and dbias_out may be
            float32 where the parameters are bfloat16 or float16.
        accumulate: add to what dweight_out and dbias_out hold instead of overwriting it.
        grad_scale: gradient with respect to the loss; the loss itself is not scaled.

    Returns:
        (loss, dhidden, dweight, dbias), dbias None without a bias.
    """
    return backend_of(hidden).linear_cross_entropy_forward_backward(
        hidden,
        weight,
        targets,
        bias,
        class_weight,
        ignore_index,
        label_smoothing,
        z_loss,
        reduction,
        dhidden_out,
        dweight_out,
        dbias_out,
        accumulate,
        grad_scale,
    )
