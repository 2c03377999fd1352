"""Optimizer states in a byte an element."""

from typing import NamedTuple

from pyllm.ops.backend import backend_of
from pyllm.ops.types import Array

BLOCK = 256


class Blockwise(NamedTuple):
    """n values in blocks of 256 that share a scale; all zero where both arrays are.

    Attributes:
        codes: (n,), uint8: which of 256 steps between 0 and the scale, finer towards 0.
        scale: (ceil(n / 256),), float32: the element of largest magnitude in each block.
    """

    codes: Array
    scale: Array


def quantize_blockwise(x: Array, *, signed: bool = True) -> Blockwise:
    """Round to 8 bits, by the dynamic map (Dettmers et al., "8-bit optimizers", 2022).

    Where the scale is s, the error is at most 0.7 % of s (0.35 % unsigned) down to 0.1 s, and five
    times less in every decade below; magnitudes under 1e-7 s become 0. The element of largest
    magnitude is kept exactly. Positive values without sign never become 0: the least is 3e-7 s.

    Args:
        x: (n,), float32, contiguous.
        signed: False if no element is below 0: twice as many steps. Negative ones become 0 then.

    Raises:
        TypeError: another dtype.
        ValueError: another rank.
    """
    return Blockwise(*backend_of(x).quantize_blockwise(x, signed))


def dequantize_blockwise(state: Blockwise, *, signed: bool = True) -> Array:
    """The values (n,) in float32; a block that had an infinity or NaN is NaN.

    Raises:
        TypeError: codes that are not uint8, scales that are not float32.
        ValueError: shapes that do not fit.
    """
    return backend_of(state.codes).dequantize_blockwise(state, signed)
