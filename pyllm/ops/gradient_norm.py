"""What clipping by the global norm needs."""

from pyllm.ops.backend import backend_of
from pyllm.ops.types import Array


def sum_of_squares(x: Array) -> float:
    """The sum of the squares of all elements, in float64; the same at any thread count."""
    return backend_of(x).sum_of_squares(x)
