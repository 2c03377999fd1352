"""Both tokenizers: exact round trips, files, streaming, hostile input."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyllm.data import (
    BPETokenizer,
    CharTokenizer,
    StreamDecoder,
    load_tokenizer,
    shakespeare,
    train_tokenizer,
)
from pyllm.data.tokenizer import tokenizer_from_json

BPE = BPETokenizer.train([shakespeare()[:50_000]], 400)


@given(st.text(max_size=100))
def test_bpe_takes_any_text_and_gives_it_back(text):
    text = text.encode("utf-8", "ignore").decode()
    ids = BPE.encode(text)
    assert BPE.decode(ids) == text
    assert all(0 <= i < BPE.vocab_size for i in ids)


@given(st.text(min_size=1, max_size=50))
def test_characters_round_trip(text):
    text = text.encode("utf-8", "ignore").decode() or "x"
    tokenizer = CharTokenizer.train([text])
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.vocab_size == len(set(text))


@given(st.text(max_size=60))
def test_stream_decoder_gives_the_same_text(text):
    text = text.encode("utf-8", "ignore").decode()
    decoder = StreamDecoder(BPE)
    streamed = "".join(decoder.push(int(i)) for i in BPE.encode(text)) + decoder.flush()
    assert streamed == text


def test_bpe_compresses_and_is_deterministic():
    text = shakespeare()[:50_000]
    assert len(BPE.encode(text)) < 0.6 * len(text)
    assert BPETokenizer.train([text], 400).to_json() == BPE.to_json()


@pytest.mark.parametrize("tokenizer", [BPE, CharTokenizer("abc \n")], ids=["bpe", "char"])
def test_file_round_trip(tokenizer, tmp_path):
    (tmp_path / "tokenizer.json").write_text(tokenizer.to_json(), encoding="utf-8")
    loaded = load_tokenizer(tmp_path)
    assert loaded.vocab_size == tokenizer.vocab_size
    assert loaded.end_of_text == tokenizer.end_of_text
    np.testing.assert_array_equal(loaded.encode("ab cab\n"), tokenizer.encode("ab cab\n"))


def test_hostile_inputs(tmp_path):
    with pytest.raises(ValueError, match=r"lacks \['!', 'z'\]"):
        CharTokenizer("abc").encode("az!a")
    with pytest.raises(ValueError, match="each once"):
        CharTokenizer("aa")
    with pytest.raises(ValueError, match="at least 257, got 100"):
        train_tokenizer("bpe", 100, iter(["x"]))
    with pytest.raises(ValueError, match="got 'words'"):
        train_tokenizer("words", 1000, iter(["x"]))
    with pytest.raises(FileNotFoundError, match=r"no file .*tokenizer\.json"):
        load_tokenizer(tmp_path)
    for text in (
        "",
        "[]",
        "{}",
        '{"type": "pyllm-char"}',
        '{"type": "pyllm-char", "characters": 3}',
    ):
        with pytest.raises(ValueError, match="not a tokenizer file"):
            tokenizer_from_json(text)
