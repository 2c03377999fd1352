"""cross_entropy, and the vocabulary projection with its loss as one node."""

from typing import Any

import numpy as np

from pyllm import ops
from pyllm.autograd import Array, Tensor, is_recording, record
from pyllm.autograd.arrays import beside, beside_or_given
from pyllm.nn.functional.linear import linear
from pyllm.ops.cross_entropy import Reduction


def cross_entropy(
    logits: Tensor,
    targets: Array,
    *,
    weight: Array | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    reduction: Reduction = "mean",
) -> Tensor:
    """Negative log-likelihood of the targets under softmax(logits); see `ops.cross_entropy`."""
    options: dict[str, Any] = {
        "weight": beside_or_given(weight, logits.data),
        "ignore_index": ignore_index,
        "label_smoothing": label_smoothing,
        "z_loss": z_loss,
        "reduction": reduction,
    }
    data = logits.data
    targets = beside(targets, data)
    loss, lse = ops.cross_entropy(data, targets, return_lse=True, **options)
    return record(
        "cross_entropy",
        loss,
        (logits,),
        lambda grad: (ops.cross_entropy_backward(grad, data, targets, lse, **options),),
        saved=(logits,),
    )


def linear_cross_entropy(
    hidden: Tensor,
    weight: Tensor,
    targets: Array,
    *,
    bias: Tensor | None = None,
    class_weight: Array | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    reduction: Reduction = "mean",
) -> Tensor:
    """cross_entropy(hidden weight^T + bias, targets), a chunk of rows at a time.

    The gradients are computed along with the loss, so the logits are never all in memory; but for
    reduction="none", whose gradients depend on what arrives at each row. See
    `ops.linear_cross_entropy`.
    """
    options: dict[str, Any] = {
        "ignore_index": ignore_index,
        "label_smoothing": label_smoothing,
        "z_loss": z_loss,
        "reduction": reduction,
    }
    targets = beside(targets, hidden.data)
    class_weight = beside_or_given(class_weight, hidden.data)
    parameters = (hidden, weight) if bias is None else (hidden, weight, bias)
    recording = is_recording() and any(t.requires_grad for t in parameters)
    if recording and reduction == "none":
        return cross_entropy(linear(hidden, weight, bias), targets, weight=class_weight, **options)
    options |= {"bias": None if bias is None else bias.data, "class_weight": class_weight}
    if not recording:
        return Tensor(ops.linear_cross_entropy(hidden.data, weight.data, targets, **options))
    reserved = weight.reserve_buffer() if weight.requires_grad else None
    loss, dhidden, dweight, dbias = ops.linear_cross_entropy_forward_backward(
        hidden.data,
        weight.data,
        targets,
        dweight_out=None if reserved is None else reserved.array,
        **options,
    )
    if reserved is not None:
        dweight = None

    def backward(grad: Array) -> list[Array | None]:
        factor = float(grad)
        own = dweight if reserved is None else reserved.array
        if factor != 1.0:
            for made in (dhidden, own, dbias):
                if made is not None:
                    np.multiply(made, factor, out=made, casting="same_kind")
        gradients = [dhidden, own if reserved is None else weight.claim_buffer(reserved)]
        return gradients if bias is None else [*gradients, dbias]

    return record("linear_cross_entropy", loss, parameters, backward)
