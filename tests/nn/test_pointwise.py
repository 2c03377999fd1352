"""Every node's gradient against differences, in float64."""

import numpy as np
import pytest

from pyllm.autograd import Tensor
from pyllm.nn import functional as F
from pyllm.nn import pointwise as P

NODES = {
    "relu": (P.relu, 1),
    "gelu": (P.gelu, 1),
    "gelu_tanh": (lambda x: P.gelu(x, "tanh"), 1),
    "silu": (P.silu, 1),
    "swiglu": (P.swiglu, 2),
    "geglu": (P.geglu, 2),
    "softmax": (lambda x: P.softmax(x, 0, temperature=0.7), 1),
    "log_softmax": (lambda x: P.log_softmax(x, temperature=2.0), 1),
    "rms_norm": (lambda x, r: F.rms_norm(x, Tensor(np.arange(1.0, 6.0)), residual=r)[0], 2),
}


@pytest.mark.parametrize("name", NODES)
def test_gradient_by_differences(name, rng):
    function, count = NODES[name]
    arrays = list(rng.normal(size=(count, 4, 5)))
    grad = rng.normal(size=(4, 5))
    leaves = [Tensor(a, requires_grad=True) for a in arrays]
    function(*leaves).backward(grad)
    for array, leaf in zip(arrays, leaves, strict=True):
        for i in np.ndindex(array.shape):
            value, losses = array[i], []
            for step in (1e-6, -1e-6):
                array[i] = value + step
                losses.append((function(*map(Tensor, arrays)).data * grad).sum())
            array[i] = value
            assert leaf.grad.data[i] == pytest.approx((losses[0] - losses[1]) / 2e-6, abs=1e-7)


def test_weight_and_sum_of_rms_norm(rng):
    x, r, g, more = (rng.normal(size=(6, 5)) for _ in range(4))
    tx, tr = (Tensor(a, requires_grad=True) for a in (x, r))
    weight = Tensor(np.ones(5), requires_grad=True)
    y, s = F.rms_norm(tx, weight, residual=tr, eps=0.0)
    np.testing.assert_allclose(s.data, x + r)
    (y * 1.0 + s * 0.0).backward(g)
    xhat = s.data / np.sqrt((s.data**2).mean(-1, keepdims=True))
    np.testing.assert_allclose(weight.grad.data, (g * xhat).sum(0))
    np.testing.assert_array_equal(tx.grad.data, tr.grad.data)
    tx.zero_grad()
    F.rms_norm(tx, weight, residual=tr)[1].backward(more)
    np.testing.assert_array_equal(tx.grad.data, more)
