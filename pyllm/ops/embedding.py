"""embedding: rows of a table by number."""

from pyllm.ops.backend import backend_of
from pyllm.ops.types import Array


def embedding(ids: Array, weight: Array, *, out: Array | None = None) -> Array:
    """weight[ids].

    Args:
        ids: (...), int32 or int64; any strides.
        weight: (entries, width); float32, bfloat16, float16 or float64; any strides.
        out: where to write the result: (..., width), dtype of weight; any strides.

    Raises:
        TypeError: an argument is no array or of a dtype that is not supported.
        ValueError: an id outside [0, entries) (the message names it), a shape that does not fit.
    """
    return backend_of(weight).embedding(ids, weight, out)


def embedding_backward(
    grad: Array,
    ids: Array,
    num_embeddings: int,
    *,
    padding_idx: int | None = None,
    out: Array | None = None,
    accumulate: bool = False,
) -> Array:
    """dweight[v] = the sum of grad over the positions where ids is v, in the order of positions.

    Args:
        grad: (..., width); any strides.
        ids: as in the forward.
        num_embeddings: rows of dweight.
        padding_idx: an id whose positions count for nothing.
        out: where to write, (num_embeddings, width), of grad's dtype or float32; any strides.
        accumulate: add to what out holds.
    """
    return backend_of(grad).embedding_backward(
        grad, ids, num_embeddings, padding_idx, out, accumulate
    )
