"""GPTConfig: the keys of GPT2Config, presets, files, what is refused."""

import json

import pytest

from pyllm.models import PRESETS, GPTConfig


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_valid(name):
    config = GPTConfig.preset(name, vocab_size=100)
    assert config.vocab_size == 100
    assert config.head_dim * config.n_head == config.n_embd


def test_gpt2_is_gpt2():
    config = GPTConfig.preset("gpt2")
    assert (config.vocab_size, config.n_positions, config.n_embd) == (50257, 1024, 768)
    assert (config.n_layer, config.n_head, config.inner) == (12, 12, 3072)


def test_file_round_trip_keeps_foreign_keys(tmp_path):
    content = {"model_type": "gpt2", "n_embd": 64, "n_head": 4, "summary_type": "cls_index"}
    config = GPTConfig.from_dict(content)
    config.save(tmp_path / "config.json")
    assert GPTConfig.load(tmp_path / "config.json") == config
    written = json.loads((tmp_path / "config.json").read_text())
    assert written["summary_type"] == "cls_index"
    assert written["architectures"] == ["GPT2LMHeadModel"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"n_embd": 65, "n_head": 4}, "multiple of n_head = 4, got 65"),
        ({"n_layer": 0}, "n_layer: expected at least 1"),
        ({"attn_pdrop": 1.0}, "attn_pdrop: expected 0 <= p < 1"),
        ({"activation_function": "tanh"}, "activation_function: expected one of"),
        ({"model_type": "llama"}, "expected 'gpt2', got 'llama'"),
        ({"scale_attn_by_inverse_layer_idx": True}, "True is not supported"),
    ],
)
def test_hostile_settings(content, message):
    with pytest.raises(ValueError, match=message):
        GPTConfig.from_dict(content)


def test_hostile_files(tmp_path):
    path = tmp_path / "config.json"
    with pytest.raises(FileNotFoundError, match="there is no"):
        GPTConfig.load(path)
    for text, message in (("{", "not a JSON file"), ("[]", "expected a JSON object, got list")):
        path.write_text(text)
        with pytest.raises(ValueError, match=message):
            GPTConfig.load(path)
    with pytest.raises(ValueError, match="expected one of nano"):
        GPTConfig.preset("huge")
