"""MLP and TransformerBlock: caches against whole sequences, options, errors."""

import numpy as np
import pytest

from pyllm.autograd import Tensor, no_grad
from pyllm.nn import MLP, LayerNorm, RMSNorm, RotaryEmbedding, TransformerBlock
from pyllm.nn import functional as F


def tokens(rng, *shape):
    return Tensor(rng.normal(size=shape).astype(np.float32))


@pytest.mark.parametrize(
    ("activation", "apply"),
    [("gelu", F.gelu), ("gelu_tanh", lambda x: F.gelu(x, "tanh")), ("relu", F.relu)],
)
def test_plain_mlp(activation, apply, rng):
    mlp, x = MLP(6, 10, activation=activation), tokens(rng, 2, 3, 6)
    np.testing.assert_allclose(mlp(x).data, mlp.down(apply(mlp.up(x))).data, atol=1e-6)


@pytest.mark.parametrize(("activation", "apply"), [("swiglu", F.silu), ("geglu", F.gelu)])
def test_gated_mlp(activation, apply, rng):
    mlp, x = MLP(6, activation=activation, bias=False), tokens(rng, 2, 3, 6)
    assert mlp.gate_up.weight.shape == (32, 6)
    both = mlp.gate_up(x)
    expected = mlp.down(apply(both[..., :16]) * both[..., 16:])
    np.testing.assert_allclose(mlp(x).data, expected.data, atol=1e-6)


@pytest.mark.parametrize("pre_norm", [True, False])
@pytest.mark.parametrize("norm", ["layer", "rms"])
@pytest.mark.parametrize("context_size", [None, 6])
def test_block_is_its_parts(pre_norm, norm, context_size, rng):
    block = TransformerBlock(8, 2, norm=norm, pre_norm=pre_norm, context_size=context_size)
    assert isinstance(block.norm1, LayerNorm if norm == "layer" else RMSNorm)
    x, context = tokens(rng, 2, 5, 8), None
    expected = x

    def part(function, normalise, x):
        return x + function(normalise(x)) if pre_norm else normalise(x + function(x))

    expected = part(block.attention, block.norm1, expected)
    if context_size:
        context = tokens(rng, 2, 3, 6)
        expected = part(lambda q: block.cross_attention(q, context), block.norm_cross, expected)
    expected = part(block.mlp, block.norm2, expected)
    np.testing.assert_allclose(block(x, context).data, expected.data, atol=2e-6)


@pytest.mark.parametrize("context_size", [None, 6])
def test_cached_tokens_see_what_whole_sequences_see(context_size, rng):
    rotary = RotaryEmbedding(4)
    block = TransformerBlock(8, 2, causal=True, rotary=rotary, context_size=context_size)
    x = tokens(rng, 2, 6, 8)
    context = tokens(rng, 2, 3, 6) if context_size else None
    whole = block(x, context).data
    cache = block.new_cache(2, 6, context_length=3)
    with no_grad():
        parts = [block(x[:, :4], context, cache=cache).data]
        parts += [block(x[:, i : i + 1], cache=cache).data for i in (4, 5)]
    np.testing.assert_allclose(np.concatenate(parts, 1), whole, atol=3e-6)


def test_every_parameter_learns(rng):
    block = TransformerBlock(8, 2, activation="swiglu", context_size=6)
    x = tokens(rng, 2, 5, 8)
    x.requires_grad = True
    (block(x, tokens(rng, 2, 3, 6)) ** 2).sum().backward()
    for name, parameter in block.named_parameters():
        assert np.abs(parameter.grad.data).max() > 0, name
    assert x.grad is not None


def test_dropout_only_in_training(rng):
    block, x = TransformerBlock(8, 2, dropout=0.5).eval(), tokens(rng, 1, 4, 8)
    np.testing.assert_array_equal(block(x).data, block(x).data)
    block.train()
    assert (block(x).data != block(x).data).any()


def test_errors(rng):
    with pytest.raises(ValueError, match=r"activation: expected one of gelu, .*, got 'tanh'"):
        MLP(4, activation="tanh")
    with pytest.raises(ValueError, match="norm: expected layer or rms, got 'batch'"):
        TransformerBlock(8, 2, norm="batch")
    with pytest.raises(ValueError, match="dropout: expected a probability"):
        TransformerBlock(8, 2, dropout=1.5)
    with pytest.raises(ValueError, match="stream: a post-norm block"):
        TransformerBlock(8, 2, pre_norm=False).stream(tokens(rng, 1, 2, 8), None)
    with pytest.raises(ValueError, match="context: the block has no cross-attention"):
        TransformerBlock(8, 2)(tokens(rng, 1, 2, 8), tokens(rng, 1, 2, 8))
