"""softmax and log_softmax; both save their result."""

from typing import Any

from pyllm import ops
from pyllm.autograd import Tensor, record
from pyllm.autograd.arrays import beside_or_given


def softmax(x: Tensor, axis: int = -1, *, temperature: float = 1.0, mask: Any = None) -> Tensor:
    """exp(x / temperature), normalised along `axis`; see `ops.softmax`."""
    mask = beside_or_given(mask, x.data)
    y = ops.softmax(x.data, axis, temperature=temperature, mask=mask)
    return record(
        "softmax",
        y,
        (x,),
        lambda grad: (ops.softmax_backward(grad, y, axis, temperature=temperature),),
        saved_results=(0,),
    )


def log_softmax(x: Tensor, axis: int = -1, *, temperature: float = 1.0, mask: Any = None) -> Tensor:
    """Logarithm of `softmax`; see `ops.log_softmax`."""
    mask = beside_or_given(mask, x.data)
    y = ops.log_softmax(x.data, axis, temperature=temperature, mask=mask)
    return record(
        "log_softmax",
        y,
        (x,),
        lambda grad: (ops.log_softmax_backward(grad, y, axis, temperature=temperature),),
        saved_results=(0,),
    )
