"""Rotary position embedding; backward is the opposite rotation, so nothing of x is saved."""

from typing import Any

from pyllm import ops
from pyllm.autograd import Tensor, record


def rotary(
    x: Tensor, cos: Any, sin: Any, *, positions: Any = None, interleaved: bool = False
) -> Tensor:
    """Pairs of features of x (batch, seq, heads, dim) rotated; see `ops.rotary`."""
    options = {"positions": positions, "interleaved": interleaved}
    return record(
        "rotary",
        ops.rotary(x.data, cos, sin, **options),
        (x,),
        lambda grad: (ops.rotary_backward(grad, cos, sin, **options),),
    )
