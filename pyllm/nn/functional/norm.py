"""layer_norm and rms_norm, each with the residual addition before it."""

from typing import Any

from pyllm import ops
from pyllm.autograd import Array, Tensor, record


def layer_norm(
    x: Tensor,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    *,
    residual: Tensor | None = None,
    eps: float = 1e-5,
) -> Any:
    """Normalised last axis; with `residual` (normalised x + residual, x + residual).

    See `ops.layer_norm`.
    """
    scale = None if weight is None else weight.data
    outputs = ops.layer_norm(
        x.data,
        scale,
        None if bias is None else bias.data,
        residual=None if residual is None else residual.data,
        eps=eps,
        return_stats=True,
    )
    y, mean, rstd = outputs[0], outputs[-2], outputs[-1]
    source = x.data if residual is None else outputs[1]
    inputs = (x, residual, weight, bias)

    def backward(grad: Array | None, grad_sum: Array | None = None) -> list[Array | None]:
        if grad is None:
            dx, dweight, dbias = grad_sum, None, None
        else:
            dx, dweight, dbias = ops.layer_norm_backward(
                grad, source, scale, mean, rstd, grad_sum=grad_sum
            )
        return _given(inputs, (dx, dx, dweight, dbias))

    if residual is None:
        return record("layer_norm", y, inputs, backward, saved=(x, weight))
    return record("layer_norm", (y, source), inputs, backward, saved=(weight,), saved_results=(1,))


def rms_norm(
    x: Tensor, weight: Tensor | None = None, *, residual: Tensor | None = None, eps: float = 1e-6
) -> Any:
    """x over its root mean square, times weight; with `residual` (normalised sum, sum).

    See `ops.rms_norm`.
    """
    scale = None if weight is None else weight.data
    outputs = ops.rms_norm(
        x.data,
        scale,
        residual=None if residual is None else residual.data,
        eps=eps,
        return_stats=True,
    )
    y, rstd = outputs[0], outputs[-1]
    source = x.data if residual is None else outputs[1]
    inputs = (x, residual, weight)

    def backward(grad: Array | None, grad_sum: Array | None = None) -> list[Array | None]:
        if grad is None:
            dx, dweight = grad_sum, None
        else:
            dx, dweight = ops.rms_norm_backward(grad, source, scale, rstd, grad_sum=grad_sum)
        return _given(inputs, (dx, dx, dweight))

    if residual is None:
        return record("rms_norm", y, inputs, backward, saved=(x, weight))
    return record("rms_norm", (y, source), inputs, backward, saved=(weight,), saved_results=(1,))


def _given(
    inputs: tuple[Tensor | None, ...], gradients: tuple[Array | None, ...]
) -> list[Array | None]:
    """The gradients of those inputs that were given."""
    return [g for t, g in zip(inputs, gradients, strict=True) if t is not None]
