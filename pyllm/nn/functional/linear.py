"""x weight^T + bias and an activation, as one node."""

from typing import Any

from pyllm import ops
from pyllm.autograd import Array, Tensor, is_recording, keep, leave_recipe, record
from pyllm.nn.functional.activation import apply, gradient


def linear(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, *, activation: Any = None
) -> Tensor:
    """activation(x weight^T + bias); see `ops.linear`."""
    needs_bias = bias is not None and bias.requires_grad
    recording = is_recording() and (x.requires_grad or weight.requires_grad or needs_bias)
    need_dx, need_dweight = x.requires_grad, weight.requires_grad
    save = activation is not None and recording
    need_x = recording and (need_dweight or needs_bias)
    source, versions = keep(x) if need_x else (None, [])
    result = ops.linear(
        x.data,
        weight.data,
        None if bias is None else bias.data,
        activation=activation,
        return_preactivation=save,
    )
    y: Any
    preactivation: Any
    y, preactivation = result if save else (result, None)

    def backward(grad: Array) -> tuple[Array | None, ...]:
        buffers, add = _buffers(weight, bias if needs_bias else None)
        if activation is not None:  # nobody reads the preactivation after this
            grad = gradient(activation, grad, preactivation, out=preactivation)
        dweight: Array | None = None
        dbias: Array | None = None
        dx: Array | None = None
        if source is not None:
            _, dweight, dbias = ops.linear_backward(
                grad,
                source(),
                weight.data,
                bias=needs_bias,
                need_dx=False,
                need_dweight=need_dweight,
                dweight_out=buffers[0],
                dbias_out=buffers[1],
                accumulate=add,
            )
        if need_dx:
            product: Any = ops.linear(grad, weight.data.T)
            dx = product
        if buffers[0] is not None:
            dweight = dbias = None
        return (dx, dweight) if bias is None else (dx, dweight, dbias)

    saved = (*versions, weight if need_dx else None)
    out = record("linear", y, (x, weight, bias), backward, saved=saved)
    if save:
        leave_recipe(out, lambda: apply(activation, preactivation), ())
    return out


def _buffers(weight: Tensor, bias: Tensor | None) -> tuple[tuple[Array | None, Array | None], bool]:
    """Gradient buffers of a layer, if both parameters have one in the same state, and no hooks."""
    if not weight.requires_grad or weight._buffer is None or weight.hooks:
        return (None, None), False
    if bias is not None and (bias._buffer is None or bias._fresh != weight._fresh or bias.hooks):
        return (None, None), False
    buffer, add = weight.take_buffer()
    return (buffer, None if bias is None else bias.take_buffer()[0]), add
