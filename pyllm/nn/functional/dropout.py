"""dropout; the mask is a function of two numbers, which are all that is saved."""

from pyllm import ops, random
from pyllm.autograd import Array, Tensor, record


def dropout(x: Tensor, p: float, *, residual: Tensor | None = None) -> Tensor:
    """Elements zeroed with probability p, the others times 1 / (1 - p); plus `residual`.

    See `ops.dropout`; (seed, stream) come from `pyllm.random`.
    """
    if p == 0:
        return x if residual is None else x + residual
    seed, stream = random.next_stream()
    y = ops.dropout(
        x.data,
        p,
        seed=seed,
        stream=stream,
        residual=None if residual is None else residual.data,
    )

    def backward(grad: Array) -> tuple[Array, ...]:
        dx = ops.dropout_backward(grad, p, seed=seed, stream=stream)
        return (dx,) if residual is None else (dx, grad)

    return record("dropout", y, (x, residual), backward)
