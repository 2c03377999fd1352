"""Positional encodings against their formulas."""

import ml_dtypes
import numpy as np
import pytest

from pyllm.autograd import Tensor
from pyllm.nn import (
    ALiBi,
    LearnedPositionalEmbedding,
    RotaryEmbedding,
    SinusoidalPositionalEncoding,
)


def test_sinusoidal():
    waves = SinusoidalPositionalEncoding(6)(Tensor(np.zeros((2, 300, 6)))).data
    for t in (0, 1, 7, 299):
        for i in range(3):
            angle = t / 10000 ** (2 * i / 6)
            expected = [np.sin(angle), np.cos(angle)]
            np.testing.assert_allclose(waves[1, t, 2 * i : 2 * i + 2], expected, atol=1e-7)


def test_sinusoidal_at_given_positions_and_dtypes(rng):
    layer = SinusoidalPositionalEncoding(4)
    x = Tensor(rng.normal(size=(2, 3, 4)).astype(ml_dtypes.bfloat16), requires_grad=True)
    places = np.array([[0, 5, 2], [1, 1, 600]])
    y = layer(x, places)
    assert y.dtype == ml_dtypes.bfloat16
    in_order = layer(x).data
    np.testing.assert_array_equal(y.data[[0, 0, 1], [0, 2, 1]], in_order[[0, 0, 1], [0, 2, 1]])
    y.backward(np.ones(y.shape))
    np.testing.assert_array_equal(x.grad.data, np.ones(x.shape))
    assert not list(layer.named_parameters())


def test_learned(rng):
    layer = LearnedPositionalEmbedding(5, 3)
    x = rng.normal(size=(2, 4, 3)).astype(np.float32)
    np.testing.assert_array_equal(layer(Tensor(x)).data, x + layer.weight.data[:4])
    places = np.array([4, 0, 0, 1])
    y = layer(Tensor(x), places)
    np.testing.assert_array_equal(y.data, x + layer.weight.data[places])
    y.backward(np.ones(y.shape))
    np.testing.assert_array_equal(layer.weight.grad.data[:, 0], [4, 2, 0, 0, 2])
    with pytest.raises(ValueError, match="5"):
        layer(Tensor(np.zeros((1, 6, 3), np.float32)))


@pytest.mark.parametrize("interleaved", [False, True])
def test_rotary_products_depend_on_the_distance(interleaved, rng):
    layer = RotaryEmbedding(8, interleaved=interleaved)
    q, k = (Tensor(rng.normal(size=(1, 1, 1, 8))) for _ in range(2))

    def product(i, j):
        turned = layer(q, np.array([i])).data, layer(k, np.array([j])).data
        return (turned[0] * turned[1]).sum()

    # Angles are float32: off by up to 300 * 2^-24.
    assert product(3, 1) == pytest.approx(product(302, 300), abs=1e-3)
    assert product(3, 1) != pytest.approx(product(3, 2), abs=1e-3)
    np.testing.assert_array_equal(layer(q).data, q.data)


def test_rotary_extends_its_tables():
    layer = RotaryEmbedding(4)
    x = Tensor(np.ones((1, 300, 2, 6), np.float32))
    y = layer(x)
    np.testing.assert_array_equal(y.data[..., 4:], 1)
    np.testing.assert_array_equal(layer(x[:, :1], np.array([299])).data[0, 0], y.data[0, 299])
    with pytest.raises(ValueError, match="positions: expected 0 or more, got -1"):
        layer(x, np.full(300, -1))
    with pytest.raises(ValueError, match="dim: expected an even number of features, got 3"):
        RotaryEmbedding(3)


def test_alibi():
    np.testing.assert_allclose(ALiBi(8).slopes, 2.0 ** -np.arange(1.0, 9))
    np.testing.assert_allclose(
        ALiBi(6).slopes, [2**-2, 2**-4, 2**-6, 2**-8, 2**-1, 2**-3], rtol=1e-7
    )
    bias = ALiBi(2)(2, 3)
    np.testing.assert_allclose(bias[0] / ALiBi(2).slopes[0], [[-1, 0, -1], [-2, -1, 0]])
    with pytest.raises(ValueError, match="num_heads: expected at least 1, got 0"):
        ALiBi(0)
