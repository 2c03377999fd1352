"""Optimizers beside torch's and transformers': 200 steps with the same gradients."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from pyllm import optim  # noqa: E402
from pyllm.nn import Parameter  # noqa: E402

SHAPES = ((37, 5), (64,), (3, 2, 7))
COMMON = {"lr": 0.02, "weight_decay": 0.05}


def both(ours, theirs, dtype, settings, steps=200):
    """The parameters after `steps`, pyllm's and torch's, flat."""
    rng = np.random.default_rng(0)
    start = [rng.normal(size=shape).astype(dtype) for shape in SHAPES]
    params = [Parameter(p.copy()) for p in start]
    peers = [torch.tensor(p, requires_grad=True) for p in start]
    mine, peer = ours(params, **settings), theirs(peers, **settings)
    for _ in range(steps):
        mine.zero_grad()
        for parameter, other in zip(params, peers, strict=True):
            gradient = rng.normal(size=parameter.shape).astype(dtype)
            parameter.accumulate_grad(gradient)
            other.grad = torch.from_numpy(gradient.copy())
        mine.step()
        peer.step()
    return (
        np.concatenate([p.data.ravel() for p in params]),
        np.concatenate([p.detach().numpy().ravel() for p in peers]),
    )


CASES = [
    (optim.SGD, torch.optim.SGD, {}),
    (optim.SGD, torch.optim.SGD, {"momentum": 0.9, "dampening": 0.2}),
    (optim.SGD, torch.optim.SGD, {"momentum": 0.9, "nesterov": True, "maximize": True}),
    (optim.Adam, torch.optim.Adam, {"betas": (0.8, 0.95)}),
    (optim.Adam, torch.optim.Adam, {"amsgrad": True, "eps": 1e-4}),
    (optim.AdamW, torch.optim.AdamW, {}),
    (optim.AdamW, torch.optim.AdamW, {"amsgrad": True, "maximize": True}),
]


@pytest.mark.parametrize(("ours", "theirs", "settings"), CASES)
def test_float64_agrees_to_rounding(ours, theirs, settings):
    mine, peer = both(ours, theirs, np.float64, {**COMMON, **settings})
    np.testing.assert_allclose(mine, peer, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("ours", "theirs", "settings"), CASES)
def test_float32_agrees(ours, theirs, settings):
    mine, peer = both(ours, theirs, np.float32, {**COMMON, **settings})
    # 1e-6 of the vector: single elements near zero have lost digits on both sides.
    assert np.linalg.norm(mine - peer) <= 1e-6 * np.linalg.norm(peer)


@pytest.mark.parametrize(
    "settings",
    [
        {"scale_parameter": True},
        {"scale_parameter": True, "warmup_init": True, "beta1": 0.9},
        {"lr": 0.02, "scale_parameter": False, "weight_decay": 0.1, "clip_threshold": 0.5},
    ],
)
@pytest.mark.parametrize(("dtype", "bound"), [(np.float32, 1e-6), (np.float64, 1e-12)])
def test_adafactor_agrees_with_transformers(settings, dtype, bound):
    transformers = pytest.importorskip("transformers")

    def theirs(peers, **settings):
        relative = settings.get("lr") is None
        return transformers.optimization.Adafactor(peers, relative_step=relative, **settings)

    mine, peer = both(optim.Adafactor, theirs, dtype, settings)
    assert np.linalg.norm(mine - peer) <= bound * np.linalg.norm(peer)
