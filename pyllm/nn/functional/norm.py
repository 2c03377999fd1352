"""layer_norm and rms_norm, each with the residual addition before it."""

from collections.abc import Callable
from typing import Any

from pyllm import ops
from pyllm.autograd import Array, Tensor, leave_recipe, record


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
    shift = None if bias is None else bias.data
    outputs = ops.layer_norm(
        x.data,
        scale,
        shift,
        residual=None if residual is None else residual.data,
        eps=eps,
        return_stats=True,
    )
    y, mean, rstd = outputs[0], outputs[-2], outputs[-1]
    source = x.data if residual is None else outputs[1]
    inputs = (x, residual, weight, bias)
    given = [t is not None for t in inputs]

    def backward(grad: Array | None, grad_sum: Array | None = None) -> list[Array | None]:
        if grad is None:
            dx, dweight, dbias = grad_sum, None, None
        else:
            dx, dweight, dbias = ops.layer_norm_backward(
                grad, source, scale, mean, rstd, grad_sum=grad_sum
            )
        return _given(given, (dx, dx, dweight, dbias))

    def again() -> Array:
        made: Any = ops.layer_norm(source, scale, shift, eps=eps)
        return made

    return _record("layer_norm", y, source, inputs, backward, again)


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
    given = [t is not None for t in inputs]

    def backward(grad: Array | None, grad_sum: Array | None = None) -> list[Array | None]:
        if grad is None:
            dx, dweight = grad_sum, None
        else:
            dx, dweight = ops.rms_norm_backward(grad, source, scale, rstd, grad_sum=grad_sum)
        return _given(given, (dx, dx, dweight))

    def again() -> Array:
        made: Any = ops.rms_norm(source, scale, eps=eps)
        return made

    return _record("rms_norm", y, source, inputs, backward, again)


def _record(
    name: str,
    y: Array,
    source: Array,
    inputs: tuple[Tensor | None, ...],
    backward: Callable[..., list[Array | None]],
    again: Callable[[], Array],
) -> Any:
    """The node of x, residual, weight (and bias), with a recipe for y: a norm of `source`."""
    x, residual, *parameters = inputs
    if residual is None:
        out = record(name, y, inputs, backward, saved=(x, parameters[0]))
        leave_recipe(out, again, (x, *parameters))
        return out
    both = record(name, (y, source), inputs, backward, saved=parameters[:1], saved_results=(1,))
    leave_recipe(both[0], again, (both[1], *parameters))
    return both


def _given(given: list[bool], gradients: tuple[Array | None, ...]) -> list[Array | None]:
    """The gradients of those inputs that were given: a backward that held the inputs themselves
    would keep their arrays alive."""
    return [g for there, g in zip(given, gradients, strict=True) if there]
