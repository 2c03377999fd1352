"""The ops of pyllm.ops on tensors: one node of the tape each.

Gradients of weights go straight into the weights' gradient buffers where they have one.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from pyllm import memory, ops, random
from pyllm.autograd import Tensor, is_recording, record

Array = npt.NDArray[Any]


def linear(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, *, activation: Any = None
) -> Tensor:
    """activation(x weight^T + bias); see `ops.linear`."""
    save = activation is not None and is_recording()
    source, need_dx = x.data, x.requires_grad
    result = ops.linear(
        source,
        weight.data,
        None if bias is None else bias.data,
        activation=activation,
        return_preactivation=save,
    )
    y, preactivation = result if save else (result, None)

    def backward(grad: Array) -> tuple[Array | None, ...]:
        buffers, add = _buffers(weight, bias)
        dx, dweight, dbias = ops.linear_backward(
            grad,
            source,
            weight.data,
            bias=bias is not None,
            activation=activation,
            preactivation=preactivation,
            need_dx=need_dx,
            dweight_out=buffers[0],
            dbias_out=buffers[1],
            accumulate=add,
        )
        if buffers[0] is not None:
            dweight = dbias = None
        return (dx, dweight) if bias is None else (dx, dweight, dbias)

    return record("linear", y, (x, weight, bias), backward)


def _buffers(weight: Tensor, bias: Tensor | None) -> tuple[tuple[Array | None, Array | None], bool]:
    """Gradient buffers of a layer, if both parameters have one in the same state."""
    if weight._buffer is None or (bias is not None and bias._buffer is None):
        return (None, None), False
    if bias is not None and bias._fresh != weight._fresh:
        return (None, None), False
    buffer, add = weight.take_buffer()
    return (buffer, None if bias is None else bias.take_buffer()[0]), add


def layer_norm(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    *,
    residual: Tensor | None = None,
    eps: float = 1e-5,
) -> Any:
    """Normalised last axis; with `residual` (normalised x + residual, x + residual)."""
    outputs = ops.layer_norm(
        x.data,
        weight.data,
        bias.data,
        residual=None if residual is None else residual.data,
        eps=eps,
        return_stats=True,
    )
    y, mean, rstd = outputs[0], outputs[-2], outputs[-1]
    source = x.data if residual is None else outputs[1]
    alone = residual is None

    def backward(grad: Array | None, grad_sum: Array | None = None) -> tuple[Array | None, ...]:
        if grad is None:
            return (grad_sum, None, None) if alone else (grad_sum, grad_sum, None, None)
        dx, dweight, dbias = ops.layer_norm_backward(
            grad, source, weight.data, mean, rstd, grad_sum=grad_sum
        )
        return (dx, dweight, dbias) if alone else (dx, dx, dweight, dbias)

    if residual is None:
        return record("layer_norm", y, (x, weight, bias), backward)
    return record("layer_norm", (y, source), (x, residual, weight, bias), backward)


def rms_norm(
    x: Tensor, weight: Tensor, *, residual: Tensor | None = None, eps: float = 1e-6
) -> Any:
    """x over its root mean square, times weight; with `residual` (normalised sum, sum)."""
    outputs = ops.rms_norm(
        x.data,
        weight.data,
        residual=None if residual is None else residual.data,
        eps=eps,
        return_stats=True,
    )
    y, rstd = outputs[0], outputs[-1]
    source = x.data if residual is None else outputs[1]
    alone = residual is None

    def backward(grad: Array | None, grad_sum: Array | None = None) -> tuple[Array | None, ...]:
        if grad is None:
            return (grad_sum, None) if alone else (grad_sum, grad_sum, None)
        dx, dweight = ops.rms_norm_backward(grad, source, weight.data, rstd, grad_sum=grad_sum)
        return (dx, dweight) if alone else (dx, dx, dweight)

    if residual is None:
        return record("rms_norm", y, (x, weight), backward)
    return record("rms_norm", (y, source), (x, residual, weight), backward)


def embedding(ids: Array, weight: Tensor) -> Tensor:
    """Rows of `weight`."""

    return record(
        "embedding",
        ops.embedding(ids, weight.data),
        (weight,),
        lambda grad: (_scatter(grad, ids, weight),),
    )


def embedding_sum(ids: Array, weight: Tensor, positions: Array, position_weight: Tensor) -> Tensor:
    """weight[ids] + position_weight[positions]; positions broadcast to the shape of ids."""
    positions = np.broadcast_to(positions, np.shape(ids))
    y = ops.embedding(ids, weight.data)
    y += ops.embedding(positions, position_weight.data)

    def backward(grad: Array) -> tuple[Array | None, Array | None]:
        return _scatter(grad, ids, weight), _scatter(grad, positions, position_weight)

    return record("embedding_sum", y, (weight, position_weight), backward)


def _scatter(grad: Array, ids: Array, weight: Tensor) -> Array | None:
    """Gradient of an embedding, or None if it went to the buffer."""
    buffer, add = weight.take_buffer()
    made = ops.embedding_backward(grad, ids, weight.shape[0], out=buffer, accumulate=add)
    return made if buffer is None else None


def dropout(x: Tensor, p: float) -> Tensor:
    """Zero elements with probability p and scale the others by 1 / (1 - p)."""
    if p == 0:
        return x
    seed, stream = random.next_stream()
    return record(
        "dropout",
        ops.dropout(x.data, p, seed=seed, stream=stream),
        (x,),
        lambda grad: (ops.dropout_backward(grad, p, seed=seed, stream=stream),),
    )


def attention_packed(
    qkv: Tensor, num_heads: int, *, dropout_p: float = 0.0, scale: float | None = None
) -> Tensor:
    """Causal attention on packed projections (batch, seq, 3 * width) -> (batch, seq, width).

    Query, key and value are read in place, and their gradients written into one packed array.
    """
    batch, length, packed = qkv.shape
    shape = (batch, length, 3, num_heads, packed // (3 * num_heads))
    query, key, value = np.moveaxis(qkv.data.reshape(shape), 2, 0)
    seed, stream = random.next_stream() if dropout_p else (0, 0)
    options: dict[str, Any] = {
        "causal": True,
        "scale": scale,
        "dropout_p": dropout_p,
        "seed": seed,
        "stream": stream,
    }
    y, lse = ops.attention(query, key, value, return_lse=True, **options)

    def backward(grad: Array) -> tuple[Array]:
        dqkv = memory.empty_like(grad, shape)
        dq, dk, dv = np.moveaxis(dqkv, 2, 0)
        ops.attention_backward(
            grad.reshape(y.shape),
            query,
            key,
            value,
            y,
            lse,
            dq_out=dq,
            dk_out=dk,
            dv_out=dv,
            **options,
        )
        return (dqkv.reshape(batch, length, packed),)

    return record("attention", y.reshape(batch, length, packed // 3), (qkv,), backward)


def linear_cross_entropy(hidden: Tensor, weight: Tensor, targets: Array) -> Tensor:
    """Mean cross-entropy of hidden weight^T; the gradients are computed along with the loss."""
    if not (is_recording() and (hidden.requires_grad or weight.requires_grad)):
        loss = ops.linear_cross_entropy(hidden.data, weight.data, targets)
        return Tensor(loss)
    reserved = weight.reserve_buffer()
    loss, dhidden, dweight, _ = ops.linear_cross_entropy_forward_backward(
        hidden.data, weight.data, targets, dweight_out=None if reserved is None else reserved.array
    )
    if reserved is not None:
        dweight = None

    def backward(grad: Array) -> tuple[Array, Array | None]:
        factor = float(grad)
        own = dweight if reserved is None else reserved.array
        if factor != 1.0:
            np.multiply(dhidden, factor, out=dhidden, casting="same_kind")
            np.multiply(own, factor, out=own, casting="same_kind")
        return dhidden, own if reserved is None else weight.claim_buffer(reserved)

    return record("linear_cross_entropy", loss, (hidden, weight), backward)
