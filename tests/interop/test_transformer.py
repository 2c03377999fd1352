"""Attention and transformer layers against torch's, with the same weights."""

import numpy as np
import pytest

from pyllm.autograd import Tensor
from pyllm.nn import MultiHeadAttention, TransformerBlock

torch = pytest.importorskip("torch")


def give(parameter, array):
    parameter.data[...] = array.detach().numpy()


def give_attention(ours, theirs):
    give(ours.out.weight, theirs.out_proj.weight)
    give(ours.out.bias, theirs.out_proj.bias)
    if ours.is_cross:
        width = theirs.embed_dim
        give(ours.query.weight, theirs.in_proj_weight[:width])
        give(ours.query.bias, theirs.in_proj_bias[:width])
        give(ours.key_value.weight, theirs.in_proj_weight[width:])
        give(ours.key_value.bias, theirs.in_proj_bias[width:])
    else:
        give(ours.qkv.weight, theirs.in_proj_weight)
        give(ours.qkv.bias, theirs.in_proj_bias)


def give_norm(ours, theirs):
    give(ours.weight, theirs.weight)
    give(ours.bias, theirs.bias)


@pytest.mark.parametrize("cross", [False, True])
def test_multi_head_attention(cross, rng):
    theirs = torch.nn.MultiheadAttention(24, 4, batch_first=True)
    ours = MultiHeadAttention(24, 4, context_size=24 if cross else None)
    give_attention(ours, theirs)
    x = rng.normal(size=(2, 7, 24)).astype(np.float32)
    context = rng.normal(size=(2, 5, 24)).astype(np.float32) if cross else x
    mask = np.ones(context.shape[:2], bool)
    mask[1, 3:] = False
    there = torch.from_numpy(context)
    expected, _ = theirs(
        torch.from_numpy(x), there, there, key_padding_mask=torch.from_numpy(~mask)
    )
    got = ours(Tensor(x), Tensor(context) if cross else None, key_padding_mask=mask)
    np.testing.assert_allclose(got.data, expected.detach().numpy(), atol=2e-6)


@pytest.mark.parametrize("pre_norm", [True, False])
@pytest.mark.parametrize("decoder", [False, True])
@pytest.mark.parametrize("activation", ["gelu", "relu"])
def test_layers(pre_norm, decoder, activation, rng):
    kind = torch.nn.TransformerDecoderLayer if decoder else torch.nn.TransformerEncoderLayer
    theirs = kind(
        16, 4, 40, 0.0, activation, layer_norm_eps=1e-5, batch_first=True, norm_first=pre_norm
    )
    ours = TransformerBlock(
        16,
        4,
        inner_size=40,
        activation=activation,
        pre_norm=pre_norm,
        causal=decoder,
        context_size=16 if decoder else None,
    )
    give_attention(ours.attention, theirs.self_attn)
    norms = [ours.norm1, ours.norm_cross, ours.norm2] if decoder else [ours.norm1, ours.norm2]
    for number, norm in enumerate(norms, 1):
        give_norm(norm, getattr(theirs, f"norm{number}"))
    for mine, other in ((ours.mlp.up, theirs.linear1), (ours.mlp.down, theirs.linear2)):
        give_norm(mine, other)
    x = rng.normal(size=(2, 6, 16)).astype(np.float32)
    mine, other = Tensor(x, requires_grad=True), torch.from_numpy(x).requires_grad_()
    if decoder:
        give_attention(ours.cross_attention, theirs.multihead_attn)
        memory = rng.normal(size=(2, 3, 16)).astype(np.float32)
        later = torch.nn.Transformer.generate_square_subsequent_mask(6)
        got = ours(mine, Tensor(memory))
        expected = theirs(other, torch.from_numpy(memory), tgt_mask=later)
    else:
        got, expected = ours(mine), theirs(other)
    np.testing.assert_allclose(got.data, expected.detach().numpy(), atol=5e-6)
    weights = rng.normal(size=x.shape).astype(np.float32)
    got.backward(weights)
    expected.backward(torch.from_numpy(weights))
    np.testing.assert_allclose(mine.grad.data, other.grad.numpy(), atol=3e-5)
    gradient = ours.attention.qkv.weight.grad.data
    np.testing.assert_allclose(gradient, theirs.self_attn.in_proj_weight.grad.numpy(), atol=5e-5)
