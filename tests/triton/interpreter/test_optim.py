"""Optimizer steps through Triton's interpreter: the CPU's conformance tests, and its states."""

import numpy as np
import pytest
import torch

from pyllm import ops as torch_ops
from tests.ops import test_adam, test_lion, test_sgd
from tests.triton.arrays import numpy_ops as ops


@pytest.fixture(autouse=True)
def served_by_triton(monkeypatch):
    for conformance in (test_adam, test_lion, test_sgd):
        monkeypatch.setattr(conformance, "ops", ops)


@pytest.mark.parametrize("name", ["adam_step", "adamw_step"])
def test_adam_follows_the_cpu(name, rng):
    """Five steps with decay and scale, from the same state, against the CPU's."""
    start = rng.normal(size=1500).astype(np.float32)
    gradients = rng.normal(size=(5, 1500)).astype(np.float32)
    settings = {"lr": 0.02, "beta2": 0.95, "weight_decay": 0.1, "grad_scale": 0.5}
    results = []
    for backend in ("auto", "triton"):
        p, m, v = start.copy(), *np.zeros((2, 1500), np.float32)
        with torch_ops.use_backend(backend):
            for t, gradient in enumerate(gradients, 1):
                getattr(ops, name)(p, gradient, m, v, step=t, **settings)
        results.append((p, m, v))
    for expected, got in zip(*results, strict=True):
        np.testing.assert_allclose(got, expected, rtol=2e-5, atol=2e-6)


def test_adam_variants(rng):
    test_adam.test_amsgrad_never_forgets_a_large_gradient("interpreter", rng)
    test_adam.test_bfloat16_follows_its_master("interpreter", rng)


@pytest.mark.parametrize("n", [0, 1, 1000])
def test_lion_steps(n, rng):
    test_lion.test_steps("interpreter", n, rng)
    test_lion.test_signs("interpreter")


@pytest.mark.parametrize(
    ("momentum", "dampening", "nesterov"),
    [(0.0, 0.0, False), (0.9, 0.3, False), (0.9, 0.0, True)],
)
def test_sgd_steps(momentum, dampening, nesterov, rng):
    test_sgd.test_steps("interpreter", 1000, momentum, dampening, nesterov, rng)


def test_sgd_with_a_master_copy(rng):
    test_sgd.test_sixteen_bits_follow_their_master("interpreter", np.float16, rng)


X = torch.ones(4)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"grad": torch.ones(3)}, ValueError, "grad: expected shape"),
        ({"exp_avg": X.double()}, TypeError, "exp_avg: expected dtype float32"),
        ({"exp_avg": None}, TypeError, "exp_avg"),
        ({"exp_avg_sq": torch.ones(1).expand(4)}, ValueError, "exp_avg_sq: expected a contiguous"),
        ({"step": 0}, ValueError, "step: counted from 1"),
        ({"beta1": 1.0}, ValueError, "beta1: expected 0 <= x < 1"),
        ({"master": X}, ValueError, "master: only 16-bit parameters"),
        ({"param": torch.ones(2, 2)}, ValueError, "param: expected 1 axes"),
        ({"param": X.long()}, TypeError, "param: expected float32"),
        ({"exp_avg": (X.byte(), X[:1])}, TypeError, "exp_avg: the Triton back end has no block-w"),
    ],
)
def test_bad_input(change, error, message):
    tensors = dict.fromkeys(("param", "grad", "exp_avg", "exp_avg_sq"), X)
    with pytest.raises(error, match=message):
        torch_ops.adamw_step(**{**tensors, "lr": 0.1, "step": 1, **change})
