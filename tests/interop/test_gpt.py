"""GPT against transformers' GPT2LMHeadModel: logits, gradients, files both ways, generation."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from pyllm.generation import SamplingConfig, generate_ids  # noqa: E402
from pyllm.models import GPT  # noqa: E402
from pyllm.models.pretrained import their_name  # noqa: E402

SHAPES = {
    "usual": {},
    "odd": {"n_embd": 60, "n_head": 3, "n_layer": 3, "vocab_size": 331, "n_inner": 70},
    "gelu": {"activation_function": "gelu"},
    "relu": {"activation_function": "relu"},
    "unscaled": {"scale_attn_weights": False},
    "untied": {"tie_word_embeddings": False},
}


@pytest.fixture(params=SHAPES, scope="module")
def pair(request, tmp_path_factory):
    """Their model with large random weights and biases, and ours read from its files."""
    torch.manual_seed(0)
    shape = {"vocab_size": 211, "n_positions": 48, "n_embd": 64, "n_layer": 2, "n_head": 4}
    config = transformers.GPT2Config(
        **{**shape, **SHAPES[request.param]}, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0
    )
    theirs = transformers.GPT2LMHeadModel(config).eval()
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    folder = tmp_path_factory.mktemp("gpt2")
    theirs.save_pretrained(folder)
    return theirs, GPT.from_pretrained(folder)


def batch(model, rng, length=33):
    ids = rng.integers(0, model.config.vocab_size, (3, length + 1))
    return ids[:, :-1], ids[:, 1:]


def test_logits(pair, rng):
    theirs, ours = pair
    ids, _ = batch(ours, rng)
    with torch.no_grad():
        expected = theirs(torch.from_numpy(ids)).logits.numpy()
    ours.eval()
    np.testing.assert_allclose(ours(ids).data, expected, atol=1e-4)


def test_loss_and_gradients(pair, rng):
    theirs, ours = pair
    ids, targets = batch(ours, rng)
    theirs.zero_grad()
    logits = theirs(torch.from_numpy(ids)).logits
    expected = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), torch.from_numpy(targets).flatten()
    )
    expected.backward()
    ours.zero_grad()
    loss = ours.loss(ids, targets)
    loss.backward()
    assert abs(loss.item() - expected.item()) < 1e-5
    gradients = {name: p.grad.numpy() for name, p in theirs.named_parameters()}
    for name, parameter in ours.named_parameters():
        there, transposed = their_name(name)
        want = gradients[there].T if transposed else gradients[there]
        got = np.asarray(parameter.grad.data)
        assert np.abs(got - want).max() <= 1e-3 * np.abs(want).max(), name


def test_our_files_are_theirs(pair, rng, tmp_path):
    theirs, ours = pair
    ours.save_pretrained(tmp_path)
    read = transformers.GPT2LMHeadModel.from_pretrained(tmp_path)
    for name, parameter in theirs.state_dict().items():
        assert torch.equal(parameter, read.state_dict()[name]), name
    assert read.config.n_inner == theirs.config.n_inner


def test_files_without_prefix_and_with_masks(pair, tmp_path):
    from safetensors.numpy import load_file, save_file

    _, ours = pair
    ours.save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    old = {name.removeprefix("transformer."): value for name, value in tensors.items()}
    old["h.0.attn.bias"] = np.ones((1, 1, 48, 48), np.float32)
    save_file(old, tmp_path / "model.safetensors")
    read = GPT.from_pretrained(tmp_path)
    for (name, got), (_, want) in zip(
        read.named_parameters(), ours.named_parameters(), strict=True
    ):
        np.testing.assert_array_equal(got.data, want.data, err_msg=name)


def test_greedy_generation(pair, rng):
    theirs, ours = pair
    prompts = [rng.integers(0, ours.config.vocab_size, n).tolist() for n in (1, 5, 17)]
    got = [list(prompt) for prompt in prompts]
    for step in generate_ids(ours, prompts, 30, SamplingConfig(temperature=0)):
        for row, token in step:
            got[row].append(token)
    for prompt, ids in zip(prompts, got, strict=True):
        expected = theirs.generate(
            torch.tensor([prompt]),
            max_new_tokens=30,
            do_sample=False,
            eos_token_id=None,
            pad_token_id=0,
            attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
        )
        assert ids == expected[0].tolist()


def test_cached_logits_are_those_of_the_whole(pair, rng):
    _, ours = pair
    ours.eval()
    ids, _ = batch(ours, rng, 20)
    cache = ours.new_cache(3, 20)
    got = [ours.next_logits(ids[:, :7], cache, [0, 1, 2])]
    got += [ours.next_logits(ids[:, i : i + 1], cache, [0, 1, 2]) for i in range(7, 20)]
    np.testing.assert_allclose(np.stack(got, 1), ours(ids).data[:, 6:], atol=1e-4)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_dtype_round_trip(pair, dtype, tmp_path):
    _, ours = pair
    ours.save_pretrained(tmp_path / "a")
    first = GPT.from_pretrained(tmp_path / "a", dtype=dtype)
    first.save_pretrained(tmp_path / "b")
    second = GPT.from_pretrained(tmp_path / "b", dtype=dtype)
    for (name, one), (_, two) in zip(
        first.named_parameters(), second.named_parameters(), strict=True
    ):
        assert one.data.dtype.name == dtype
        assert one.data.tobytes() == two.data.tobytes(), name
