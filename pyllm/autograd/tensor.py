"""Tensor: Variable (array, history, gradient) with its operators, one file a family."""

from pyllm.autograd.arrays import Array
from pyllm.autograd.elementwise import Elementwise
from pyllm.autograd.inplace import InPlace
from pyllm.autograd.reductions import Reductions
from pyllm.autograd.shaping import Shaping


class Tensor(InPlace, Elementwise, Reductions, Shaping):
    """An array that can be differentiated.

    Args:
        data: a NumPy array (not copied), or what NumPy makes one of.
        requires_grad: whether `backward` leaves a gradient in `.grad`.

    Attributes:
        data: the NumPy array.
        grad: the gradient after `backward`, of a leaf that requires one.
        hooks: functions that see each gradient that arrives here, and may return another.

    Raises:
        TypeError: data that are no real numbers, or requires_grad with integers.
    """

    __slots__ = ()

    def _make(self, data: Array) -> "Tensor":
        return Tensor(data)
