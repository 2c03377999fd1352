"""Generation on a device: cached tokens see what whole sequences see; a GPT writes the same."""

import numpy as np
import pytest

import pyllm
from pyllm import Tensor, nn
from pyllm.autograd import no_grad
from pyllm.generation import SamplingConfig
from pyllm.generation.generate import generate_ids
from pyllm.models import GPT, GPTConfig
from tests.nn.test_attention import OPTIONS, layer, tokens

pytestmark = pytest.mark.usefixtures("emulated_device")


@pytest.mark.parametrize("name", ["plain", "rotary", "alibi", "window"])
def test_cached_tokens_see_what_whole_sequences_see(rng, name):
    options = {"rotary": nn.RotaryEmbedding(4)} if name == "rotary" else OPTIONS[name]
    attention, x = layer(rng, causal=True, **options), tokens(rng, 3, 9, 16)
    whole = attention(x).data
    attention.to("cuda")
    there = x.to("cuda")
    np.testing.assert_allclose(attention(there).numpy(), whole, atol=3e-6)
    cache = attention.new_cache(3, 9)
    with no_grad():
        parts = [attention(there[:, a:b], cache=cache).numpy() for a, b in ((0, 4), (4, 5), (5, 8))]
        np.testing.assert_allclose(np.concatenate(parts, 1), whole[:, :8], atol=3e-6)
        one = attention(there[[2, 0], 8:], cache=cache.select([2, 0]))
    np.testing.assert_allclose(one.numpy(), whole[[2, 0], 8:], atol=3e-6)
    np.testing.assert_array_equal(cache.lengths, [9, 8, 9])


def test_cross_attention_keeps_the_context(rng):
    attention = layer(rng, context_size=6).to("cuda")
    x, context = tokens(rng, 2, 3, 16).to("cuda"), tokens(rng, 2, 5, 6).to("cuda")
    cache = attention.new_cache(2, 5)
    with no_grad():
        first = attention(x, context, cache=cache)
        np.testing.assert_array_equal(attention(x, cache=cache).numpy(), first.numpy())
        picked = attention(x[[1]], cache=cache.select([1]))
    np.testing.assert_allclose(picked.numpy(), first.numpy()[1:], atol=3e-6)


@pytest.mark.parametrize(
    "sampling", [SamplingConfig(temperature=0), SamplingConfig(temperature=0.9, top_k=7, seed=5)]
)
def test_a_gpt_writes_what_it_writes_on_the_cpu(sampling):
    """Prompts of different lengths, one of which ends early, and past the end of the context."""
    pyllm.seed(1)
    model = GPT(GPTConfig(vocab_size=19, n_positions=8, n_embd=16, n_layer=2, n_head=2)).eval()
    for parameter in model.parameters():
        parameter.data[...] *= 8  # so that one token is far likelier than the next
    runs = []
    for device in ("cpu", "cuda"):
        model.to(device)
        steps = generate_ids(model, [[1, 2, 3], [4], [5, 6]], 8, sampling)
        run = [next(steps)]
        run.append(steps.send({1}))
        runs.append(run + list(steps))
    assert runs[0] == runs[1]
    assert len(runs[0]) == 8


def test_positions_are_added_on_the_device(rng):
    x = tokens(rng, 2, 3, 4)
    waves = nn.SinusoidalPositionalEncoding(4)
    np.testing.assert_array_equal(waves(x.to("cuda")).numpy(), waves(x).data)
    rotary = nn.RotaryEmbedding(4)
    heads, places = Tensor(x.data[:, :, None]), np.array([2, 0, 1])
    there = rotary(heads.to("cuda"), places)
    np.testing.assert_allclose(there.numpy(), rotary(heads, places).data, atol=1e-6)
