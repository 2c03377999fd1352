"""Finding text, cutting it into chunks, splitting off the validation part."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyllm.data import TextSource, find_texts, read_chunks, shakespeare

TEXTS = st.text(alphabet="aé漢 \n\t.", max_size=200)


@given(TEXTS, st.floats(0, 0.9), st.integers(1, 40))
def test_chunks_put_together_are_the_text(text, fraction, chunk_bytes):
    text = text.replace("\r", "")
    pieces = list(read_chunks(TextSource("x", text=text), fraction, chunk_bytes))
    assert "".join(piece for _, piece in pieces) == text
    splits = [split for split, _ in pieces]
    assert splits == sorted(splits)  # "train" before "validation"


@given(TEXTS, st.integers(1, 40))
def test_chunks_end_after_a_line_end_and_before_no_white_space(text, chunk_bytes):
    pieces = [piece for _, piece in read_chunks(TextSource("x", text=text), 0.0, chunk_bytes)]
    for before, after in pairwise(pieces):
        assert before.endswith("\n")
        assert not after[0].isspace() or not after[0].isascii()


def test_validation_is_the_requested_share():
    text = "".join(f"line number {i}\n" for i in range(1000))
    pieces = list(read_chunks(TextSource("x", text=text), 0.1))
    validation = "".join(piece for split, piece in pieces if split == "validation")
    assert abs(len(validation) - 0.1 * len(text)) <= len("line number 1000\n")
    assert text.endswith(validation)


def test_file_and_memory_give_the_same(tmp_path):
    text = shakespeare()[:100_000]
    path = tmp_path / "x.txt"
    path.write_text(text)
    memory = list(read_chunks(TextSource("x", text=text), 0.2, 5000))
    assert list(read_chunks(TextSource("x", path), 0.2, 5000)) == memory


def test_folder_is_searched_in_order(tmp_path):
    for name in ("b.txt", "a.md", "sub/c.txt", "ignored.bin"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("x")
    assert [s.name for s in find_texts([tmp_path])] == ["a.md", "b.txt", "sub/c.txt"]


def test_hostile_inputs(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file or folder"):
        find_texts([tmp_path / "missing"])
    with pytest.raises(ValueError, match=r"no \.txt"):
        find_texts([tmp_path])
    with pytest.raises(ValueError, match="got none"):
        find_texts([])
    path = tmp_path / "x.txt"
    path.write_bytes(b"good\n\xff\xfe bad\n")
    with pytest.raises(ValueError, match=r"x\.txt is not UTF-8 text \(byte 0xff"):
        list(read_chunks(TextSource("x", path)))


def test_corpus_is_whole():
    text = shakespeare()
    assert len(text) == 4_998_259
    assert text.isascii()
    assert "HAMLET:\nTo be, or not to be: that is the question:" in text
