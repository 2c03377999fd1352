"""Tensor operators against torch: results and gradients in float32, where both define them."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from pyllm.autograd import Tensor, concat, maximum, minimum, stack, where  # noqa: E402

# name -> (ours, theirs, shapes of the operands); operands are positive.
CASES = {
    "add": (lambda a, b: a + b, None, [(4, 1, 5), (3, 5)]),
    "sub": (lambda a, b: 1 - a - b, None, [(4, 1, 5), (3, 5)]),
    "mul": (lambda a, b: a * b * 3, None, [(4, 1, 5), (3, 5)]),
    "div": (lambda a, b: 2 / (a / b), None, [(4, 1, 5), (3, 5)]),
    "pow": (lambda a, b: a**b + a**-2 + 2**b + b**0.5, None, [(4, 1, 5), (3, 5)]),
    "matmul": (lambda a, b: a @ b, None, [(2, 1, 3, 4), (5, 4, 2)]),
    "vector": (lambda a, b: a @ b, None, [(4,), (5, 4, 2)]),
    "max": (lambda a: a.max(1), lambda a: a.amax(1), [(4, 7)]),
    "min": (lambda a: a.min((0, 2)), lambda a: a.amin((0, 2)), [(4, 3, 7)]),
    "ties": (lambda a: (a * 0).max(1), lambda a: (a * 0).amax(1), [(4, 7)]),
    "maximum": (maximum, torch.maximum, [(4, 1), (1, 6)]),
    "minimum": (minimum, torch.minimum, [(4, 1), (1, 6)]),
    "even": (lambda a: maximum(a, a * 1), lambda a: torch.maximum(a, a * 1), [(3,)]),
    "mean": (lambda a: a.mean((0, -1)), None, [(4, 3, 7)]),
    "var": (lambda a: a.var(1) + a.var(1, correction=0), None, [(4, 7)]),
    "std": (lambda a: a.std(0, keepdims=True), lambda a: a.std(0, keepdim=True), [(4, 7)]),
    "exp": (lambda a: (a.exp() + 1).log(), None, [(4, 7)]),
    "sqrt": (lambda a: a.sqrt(), None, [(4, 7)]),
    "tanh": (lambda a: (a * 3 - 2).tanh(), None, [(4, 7)]),
    "sigmoid": (lambda a: (a * 9 - 5).sigmoid(), None, [(4, 7)]),
    "abs": (lambda a: abs(a - 1), None, [(4, 7)]),
    "clip": (lambda a: a.clip(0.8, 1.5), lambda a: a.clamp(0.8, 1.5), [(4, 7)]),
    "trigonometric": (lambda a: a.sin() * a.cos(), None, [(4, 7)]),
    "permute": (lambda a: a.permute(2, 0, 1).reshape(-1, 3) @ a[0], None, [(4, 3, 7)]),
    "expand": (lambda a: (a.expand(5, 3) ** 2).transpose(0, 1), None, [(1, 3)]),
    "squeeze": (lambda a: a.squeeze(1).unsqueeze(0) * 2, None, [(4, 1, 3)]),
    "slices": (lambda a: a[1:, 0] * a[:-1, None, 2], None, [(4, 3)]),
    "rows": (lambda a: a[[0, 2, 2, -1]] * 2, None, [(4, 3)]),
    "mask": (lambda a: a[a > 1] ** 2, None, [(4, 3)]),
    "pairs": (lambda a: a[[0, 1, 1], [2, 2, 0]] * 2, None, [(4, 3)]),
    "concat": (lambda a, b: concat([a, b], 1), lambda a, b: torch.cat([a, b], 1), [(4, 3), (4, 2)]),
    "stack": (lambda a, b: stack([a, b], -1), lambda a, b: torch.stack([a, b], -1), [(4, 3)] * 2),
    "where": (
        lambda a, b: where(a > b, a, b * 2),
        lambda a, b: torch.where(a > b, a, b * 2),
        [(4, 3), (3,)],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_results_and_gradients(name, rng):
    ours, theirs, shapes = CASES[name]
    theirs = theirs or ours
    arrays = [rng.uniform(0.5, 2, shape).astype(np.float32) for shape in shapes]
    leaves = [Tensor(a, requires_grad=True) for a in arrays]
    twins = [torch.from_numpy(a.copy()).requires_grad_() for a in arrays]
    got, expected = ours(*leaves), theirs(*twins)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got.data, expected.detach().numpy(), rtol=2e-6, atol=2e-6)
    grad = rng.normal(size=got.shape).astype(np.float32)
    got.backward(grad)
    expected.backward(torch.from_numpy(grad))
    for leaf, twin in zip(leaves, twins, strict=True):
        np.testing.assert_allclose(leaf.grad.data, twin.grad.numpy(), rtol=1e-5, atol=5e-6)
