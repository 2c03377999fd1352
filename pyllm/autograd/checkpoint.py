"""Trade time for memory: forget what a stretch of the forward saved, compute it again in backward.

Chen et al., "Training deep nets with sublinear memory cost", 2016.
"""

from collections.abc import Callable

from pyllm import random
from pyllm.autograd.arrays import Array
from pyllm.autograd.mode import enable_grad, is_recording, no_grad
from pyllm.autograd.tape import record
from pyllm.autograd.tensor import Tensor


def checkpoint(function: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
    """function(*inputs), keeping only the inputs until backward runs it a second time.

    Random operations draw the same numbers both times. The function must depend on its inputs,
    parameters and random draws alone; at least one input must need a gradient, else there is
    nothing to hang the second run on.

    Args:
        function: of tensors, returning one tensor.

    Raises:
        ValueError: recording is on and no input needs a gradient.
    """
    if not is_recording():
        return function(*inputs)
    if not any(x.requires_grad for x in inputs):
        raise ValueError("inputs: checkpoint needs one that requires a gradient")
    state = random.get_state()
    with no_grad():
        result = function(*inputs)
    arrays = [(x.data, x.requires_grad) for x in inputs]

    def backward(grad: Array) -> list[Array | None]:
        now = random.get_state()
        random.set_state(state)
        leaves = [Tensor(data, requires_grad=needed) for data, needed in arrays]
        try:
            with enable_grad():
                again = function(*leaves)
        finally:
            random.set_state(now)
        again.backward(grad)
        return [None if leaf.grad is None else leaf.grad.data for leaf in leaves]

    return record("checkpoint", result.data, inputs, backward)
