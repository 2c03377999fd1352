"""A checkpointed stretch gives the gradients of the plain one, and keeps nothing meanwhile."""

import gc
import weakref

import numpy as np
import pytest

import pyllm
from pyllm.autograd import Tensor, checkpoint, no_grad
from pyllm.nn import Linear, Module
from pyllm.nn import functional as F


class Stretch(Module):
    def __init__(self, rng):
        self.first, self.second = Linear(6, 8), Linear(8, 6)
        for parameter in self.parameters():
            parameter.data[...] = rng.normal(size=parameter.shape)

    def forward(self, x):
        return self.second(F.dropout(F.gelu(self.first(x)), 0.3))


def gradients(stretch, x, run):
    pyllm.seed(3)
    stretch.zero_grad()
    leaf = Tensor(x, requires_grad=True)
    y = run(leaf)
    (y + F.dropout(y, 0.5)).backward(np.ones_like(x))
    return y.data, leaf.grad.data, *(p.grad.data for p in stretch.parameters())


def test_same_result_and_gradients(rng):
    stretch, x = Stretch(rng), rng.normal(size=(5, 6)).astype(np.float32)
    plain = gradients(stretch, x, stretch)
    again = gradients(stretch, x, lambda leaf: checkpoint(stretch, leaf))
    for expected, got in zip(plain, again, strict=True):
        np.testing.assert_array_equal(got, expected)


def test_activations_are_let_go(rng):
    stretch = Stretch(rng)
    seen = []

    def run(x):
        hidden = stretch.first(x)
        seen.append(weakref.ref(hidden.data))
        return stretch.second(hidden)

    y = checkpoint(run, Tensor(np.ones((2, 6), np.float32), requires_grad=True))
    gc.collect()
    assert seen[0]() is None
    y.backward(np.ones((2, 6), np.float32))
    assert len(seen) == 2


def test_without_recording_it_is_a_plain_call(rng):
    stretch, x = Stretch(rng), Tensor(np.ones((2, 6), np.float32))
    with no_grad():
        assert not checkpoint(stretch, x).requires_grad
    with pytest.raises(ValueError, match="inputs: checkpoint needs one that requires a gradient"):
        checkpoint(stretch, x)
