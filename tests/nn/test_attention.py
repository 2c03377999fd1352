"""MultiHeadAttention: its options against each other, caches against whole sequences, errors."""

import itertools

import numpy as np
import pytest

from pyllm.autograd import Tensor, no_grad
from pyllm.nn import ALiBi, MultiHeadAttention, RotaryEmbedding
from tests.autograd.differences import check_gradients

OPTIONS = {
    "plain": {},
    "grouped": {"num_kv_heads": 2},
    "rotary": {"rotary": RotaryEmbedding(4), "num_kv_heads": 1},
    "part rotary": {"rotary": RotaryEmbedding(2, interleaved=True)},
    "alibi": {"alibi": True, "softcap": 3.0},
    "window": {"window": (3, None), "scale": 0.7, "bias": False},
    "wide heads": {"head_dim": 6, "num_kv_heads": 2},
}


def layer(rng, **options):
    made = MultiHeadAttention(16, 4, **options)
    for parameter in made.parameters():
        parameter.data[...] = rng.normal(size=parameter.shape) / 3
    return made.eval()


def tokens(rng, *shape, dtype=np.float32):
    return Tensor(rng.normal(size=shape).astype(dtype))


@pytest.mark.parametrize("name", OPTIONS)
def test_cached_tokens_see_what_whole_sequences_see(name, rng):
    attention = layer(rng, causal=True, **OPTIONS[name])
    x = tokens(rng, 3, 12, 16)
    whole = attention(x).data
    cache = attention.new_cache(3, 12)
    with no_grad():
        parts = [attention(x[:, a:b], cache=cache).data for a, b in ((0, 5), (5, 6), (6, 9))]
        parts += [attention(x[:, i : i + 1], cache=cache).data for i in range(9, 12)]
    np.testing.assert_allclose(np.concatenate(parts, 1), whole, atol=3e-6)
    cache.reset()
    with no_grad():  # some of the sequences, in an order of their own
        some = cache.select([2, 0])
        first = attention(x[[2, 0], :7], cache=some).data
        np.testing.assert_allclose(first, whole[[2, 0], :7], atol=3e-6)
        one = attention(x[2:, 7:8], cache=cache.select([2])).data
        np.testing.assert_allclose(one, whole[2:, 7:8], atol=3e-6)
        np.testing.assert_array_equal(cache.lengths, [7, 0, 8])
    cache.reset()
    with no_grad():
        np.testing.assert_allclose(attention(x, cache=cache).data, whole, atol=3e-6)
        with pytest.raises(ValueError, match="cache: holds 12 of 12 tokens, no room for 1 more"):
            attention(x[:, :1], cache=cache)


@pytest.mark.parametrize("name", [n for n in OPTIONS if n != "wide heads"])
def test_packed_sequences_are_separate_ones(name, rng):
    attention = layer(rng, causal=True, **OPTIONS[name])
    x, ends = tokens(rng, 9, 16), np.array([0, 4, 5, 9])
    packed = attention(x, cu_seqlens=ends).data
    for start, end in itertools.pairwise(ends):
        alone = attention(x[start:end].unsqueeze(0)).data[0]
        np.testing.assert_allclose(packed[start:end], alone, atol=3e-6)


def test_alibi_is_its_bias(rng):
    with_slopes = layer(rng, alibi=True)
    plain = layer(rng)
    plain.load_state_dict(with_slopes.state_dict())
    x = tokens(rng, 2, 5, 16)
    np.testing.assert_allclose(with_slopes(x).data, plain(x, bias=ALiBi(4)(5, 5)).data, atol=3e-6)


def test_padding_does_not_matter(rng):
    attention = layer(rng)
    x = tokens(rng, 2, 6, 16)
    mask = np.ones((2, 6), bool)
    mask[1, 4:] = False
    y = attention(x, key_padding_mask=mask).data
    np.testing.assert_allclose(y[1, :4], attention(x[1:, :4]).data[0], atol=3e-6)


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
def test_cross_attention_and_its_cache(kv_heads, rng):
    attention = layer(rng, context_size=10, num_kv_heads=kv_heads)
    x, context = tokens(rng, 2, 3, 16), tokens(rng, 2, 7, 10)
    mask = rng.random((2, 7)) < 0.7
    whole = attention(x, context, key_padding_mask=mask).data
    cache = attention.new_cache(2, 7)
    with no_grad():
        first = attention(x[:, :1], context, key_padding_mask=mask, cache=cache).data
        rest = attention(x[:, 1:], key_padding_mask=mask, cache=cache).data
    np.testing.assert_allclose(np.concatenate([first, rest], 1), whole, atol=3e-6)
    lengths = {"cu_seqlens": np.array([0, 2, 3]), "cu_seqlens_context": np.array([0, 4, 7])}
    packed = attention(x[0], context[0], **lengths).data
    np.testing.assert_allclose(packed[2:], attention(x[:1, 2:], context[:1, 4:]).data[0], atol=3e-6)


@pytest.mark.parametrize("name", ["plain", "rotary", "cross"])
def test_gradients_of_inputs_and_parameters(name, rng):
    options = {"context_size": 5, "num_kv_heads": 2} if name == "cross" else OPTIONS[name]
    attention = layer(rng, **options).to(np.float64)
    paths = [path.split(".") for path, _ in attention.named_parameters()]
    values = [parameter.data.copy() for parameter in attention.parameters()]
    inputs = [rng.normal(size=(1, 3, 16))] + [rng.normal(size=(1, 4, 5))] * (name == "cross")

    def run(*tensors):
        for (module, leaf), tensor in zip(paths, tensors[len(inputs) :], strict=True):
            setattr(getattr(attention, module), leaf, tensor)
        return attention(*tensors[: len(inputs)])

    check_gradients(run, *inputs, *values, tolerance=1e-6)


def test_dropout_only_in_training(rng):
    attention, x = layer(rng, dropout=0.5), tokens(rng, 2, 6, 16)
    np.testing.assert_array_equal(attention(x).data, attention(x).data)
    attention.train()
    assert (attention(x).data != attention(x).data).any()


def test_a_trained_bias_gets_its_gradient(rng):
    bias = Tensor(rng.normal(size=(4, 5, 5)).astype(np.float32), requires_grad=True)
    layer(rng)(tokens(rng, 2, 5, 16), bias=bias).sum().backward()
    assert bias.grad.data.any()


def test_errors(rng):
    x = tokens(rng, 2, 5, 16)
    with pytest.raises(ValueError, match="hidden_size: 16 is not divisible by 3 heads"):
        MultiHeadAttention(16, 3)
    with pytest.raises(ValueError, match="num_kv_heads: expected a divisor of 4, got 3"):
        MultiHeadAttention(16, 4, num_kv_heads=3)
    with pytest.raises(ValueError, match="dropout: expected a probability"):
        MultiHeadAttention(16, 4, dropout=1.0)
    with pytest.raises(ValueError, match="context_size: cross-attention has no causal"):
        MultiHeadAttention(16, 4, context_size=8, causal=True)
    attention, causal = layer(rng), layer(rng, causal=True)
    cross = layer(rng, context_size=8)
    with pytest.raises(RuntimeError, match=r"call within no_grad\(\)"):
        causal(x, cache=causal.new_cache(2, 5))
    with pytest.raises(ValueError, match="context: this is self-attention"):
        attention(x, x)
    with pytest.raises(ValueError, match="positions: cross-attention has none"):
        cross(x, x, positions=np.arange(5))
    with no_grad():
        with pytest.raises(ValueError, match="cache: tokens that see later ones"):
            attention(x, cache=attention.new_cache(2, 5))
        with pytest.raises(ValueError, match="cache: takes no key_padding_mask"):
            causal(x, cache=causal.new_cache(2, 5), bias=np.zeros((5, 5)))
        with pytest.raises(ValueError, match="context: cross-attention needs one, or a cache"):
            cross(x, cache=cross.new_cache(2, 7))
        with pytest.raises(ValueError, match=r"key: expected shape \(3, seq"):
            causal(x, cache=causal.new_cache(3, 5))
