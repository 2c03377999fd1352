"""Rows of a table by number; the gradient is a scatter-add in a fixed order."""

import numpy as np

from pyllm import ops
from pyllm.autograd import Array, Tensor, record
from pyllm.autograd.arrays import FLOAT32, beside, cast, empty, packed


def embedding(ids: Array, weight: Tensor, *, padding_idx: int | None = None) -> Tensor:
    """Rows of `weight`; that of `padding_idx` gets no gradient. See `ops.embedding`."""
    ids = beside(ids, weight.data)
    return record(
        "embedding",
        ops.embedding(ids, weight.data),
        (weight,),
        lambda grad: (_scatter(grad, ids, weight, padding_idx),),
    )


def embedding_sum(ids: Array, weight: Tensor, positions: Array, position_weight: Tensor) -> Tensor:
    """weight[ids] + position_weight[positions]; positions broadcast to the shape of ids."""
    positions = np.broadcast_to(positions, np.shape(ids))
    ids, positions = beside(ids, weight.data), beside(positions, weight.data)
    y = ops.embedding(ids, weight.data)
    y += ops.embedding(positions, position_weight.data)

    def backward(grad: Array) -> tuple[Array | None, Array | None]:
        return _scatter(grad, ids, weight), _scatter(grad, positions, position_weight)

    return record("embedding_sum", y, (weight, position_weight), backward)


def _scatter(
    grad: Array, ids: Array, weight: Tensor, padding_idx: int | None = None
) -> Array | None:
    """Gradient of an embedding, or None if it went to the buffer (or is not needed).

    Rows of 16 bits are added up in float32: thousands of tokens may fall on one.
    """
    if not weight.requires_grad:
        return None
    grad, entries = packed(grad), weight.shape[0]
    if grad.dtype.itemsize == 2:
        wide = empty(weight.shape, FLOAT32, grad)
        ops.embedding_backward(grad, ids, entries, padding_idx=padding_idx, out=wide)
        return cast(wide, weight.dtype)
    buffer, add = (None, False) if weight.hooks else weight.take_buffer()
    made = ops.embedding_backward(
        grad, ids, entries, padding_idx=padding_idx, out=buffer, accumulate=add
    )
    return made if buffer is None else None
