"""Gradients by central differences in float64."""

import numpy as np

from pyllm.autograd import Tensor


def check_gradients(function, *arrays, step=1e-5, tolerance=2e-8):
    """The gradients that `function` (of tensors, to one) records against differences of its values.

    A central difference is off by step^2 / 6 times the third derivative and by roundoff / step:
    about 1e-10 each for functions of moderate slope; the tolerance leaves two digits.
    """
    arrays = [np.array(a, np.float64) for a in arrays]
    leaves = [Tensor(a, requires_grad=True) for a in arrays]
    result = function(*leaves)
    weights = np.random.default_rng(7).normal(size=result.shape)
    result.backward(weights)
    for number, (array, leaf) in enumerate(zip(arrays, leaves, strict=True)):
        got = np.zeros(array.shape) if leaf.grad is None else leaf.grad.data
        assert got.shape == array.shape
        assert got.dtype == np.float64
        for place in np.ndindex(array.shape):
            value, sides = array[place], []
            for shift in (step, -step):
                array[place] = value + shift
                sides.append(float((function(*map(Tensor, arrays)).data * weights).sum()))
            array[place] = value
            slope = (sides[0] - sides[1]) / (2 * step)
            assert abs(got[place] - slope) <= tolerance * (1 + abs(slope)), (
                f"argument {number} at {place}: {got[place]} recorded, {slope} by differences"
            )
