"""Token files: shards, the index, reading across shards, whole or absent."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyllm.data import CharTokenizer, TextSource, TokenFile, TokenWriter, prepare, read_chunks

TOKENIZER = CharTokenizer("abcdefgh \n")


class LargeTokenizer(CharTokenizer):
    """Pretends to a vocabulary that needs 32 bits."""

    def __init__(self):
        super().__init__("ab")
        self.vocab_size = 100_000


@given(st.integers(0, 50), st.integers(1, 17), st.data())
def test_reads_across_shards(tmp_path_factory, count, shard_tokens, data):
    folder = tmp_path_factory.mktemp("tokens")
    ids = np.arange(count) % 10
    with TokenWriter(folder, TOKENIZER, shard_tokens) as writer:
        cut = data.draw(st.integers(0, count))
        writer.append("train", ids[:cut])
        writer.append("train", ids[cut:])
    tokens = TokenFile.open(folder)
    assert len(tokens) == count
    start = data.draw(st.integers(0, count))
    stop = data.draw(st.integers(start, count))
    got = tokens.read(start, stop)
    assert got.dtype == np.int32
    np.testing.assert_array_equal(got, ids[start:stop])
    assert len(list(folder.glob("train-*.bin"))) == -(-count // shard_tokens)


def test_dtype_follows_the_vocabulary(tmp_path):
    with TokenWriter(tmp_path, LargeTokenizer()) as writer:
        writer.append("train", [99_999, 65_536])
    np.testing.assert_array_equal(TokenFile.open(tmp_path).read(0, 2), [99_999, 65_536])
    assert json.loads((tmp_path / "index.json").read_text())["dtype"] == "uint32"


def test_prepare_is_the_tokens_of_the_text(tmp_path):
    text = "".join(f"line {chr(97 + i % 26)} {i}\n" for i in range(2000))
    source = TextSource("x", text=text)
    tokenizer = prepare([source], tmp_path / "t", "char", validation_fraction=0.1, shard_tokens=999)
    for split in ("train", "validation"):
        expected = "".join(piece for s, piece in read_chunks(source, 0.1) if s == split)
        tokens = TokenFile.open(tmp_path / "t", split)
        assert tokenizer.decode(tokens.read(0, len(tokens))) == expected
        assert tokens.text_bytes == len(expected)


def test_documents_end_with_the_end_of_text_token(tmp_path):
    sources = [TextSource(str(i), text=f"document {i}\n" * 5) for i in range(3)]
    tokenizer = prepare(sources, tmp_path / "t", "bpe", vocab_size=300, validation_fraction=0)
    tokens = TokenFile.open(tmp_path / "t")
    ids = tokens.read(0, len(tokens))
    assert (ids == tokenizer.end_of_text).sum() == 3
    assert ids[-1] == tokenizer.end_of_text


def test_failed_prepare_leaves_nothing(tmp_path):
    bad = tmp_path / "bad.txt"
    bad.write_bytes(b"face\n" * 10 + b"\xff")
    with pytest.raises(ValueError, match="UTF-8"):
        prepare([TextSource("bad", bad)], tmp_path / "t", TOKENIZER)
    with pytest.raises(ValueError, match="no training text"):
        prepare([TextSource("empty", text="")], tmp_path / "t", "bpe")
    with pytest.raises(ValueError, match="validation_fraction"):
        prepare([], tmp_path / "t", TOKENIZER, validation_fraction=1)
    assert [path.name for path in tmp_path.iterdir()] == ["bad.txt"]


def test_prepare_replaces_a_folder(tmp_path):
    for text in ("aaa\n", "bb\n"):
        prepare([TextSource("x", text=text)], tmp_path / "t", TOKENIZER, validation_fraction=0)
    assert len(TokenFile.open(tmp_path / "t")) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["t"]


def test_damaged_folders_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="pyllm prepare"):
        TokenFile.open(tmp_path)
    with TokenWriter(tmp_path, TOKENIZER) as writer:
        writer.append("train", [1, 2, 3])
    with pytest.raises(ValueError, match="got 'test'"):
        TokenFile.open(tmp_path, "test")
    tokens = TokenFile.open(tmp_path)
    for start, stop in ((-1, 2), (0, 4), (3, 2)):
        with pytest.raises(ValueError, match="not inside"):
            tokens.read(start, stop)
    shard = tmp_path / "train-00000.bin"
    shard.write_bytes(b"12")
    with pytest.raises(ValueError, match="has 2 bytes"):
        TokenFile.open(tmp_path)
    shard.unlink()
    with pytest.raises(FileNotFoundError, match="missing"):
        TokenFile.open(tmp_path)
    for text in ("", "[]", "{}", '{"format": "pyllm-tokens", "version": 2}'):
        (tmp_path / "index.json").write_text(text)
        with pytest.raises(ValueError, match="is not an index"):
            TokenFile.open(tmp_path)
