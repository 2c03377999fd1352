"""Tokenizers: one token a character, or byte-level BPE through the `tokenizers` library.

Both are saved as one tokenizer.json; the BPE one is the `tokenizers` library's own format, which
`transformers` reads too. decode(encode(text)) == text for every text that encode accepts.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

END_OF_TEXT = "<|endoftext|>"
Ids = npt.NDArray[np.int64]


class Tokenizer(Protocol):
    """What the rest of pyllm needs of a tokenizer."""

    vocab_size: int
    end_of_text: int | None  # id of the token between documents

    def encode(self, text: str) -> Ids: ...

    def decode(self, ids: Iterable[int]) -> str: ...

    def to_json(self) -> str: ...


class CharTokenizer:
    """One id a character, in code-point order.

    Raises:
        ValueError: a character occurs twice, or there is none.
    """

    def __init__(self, characters: str) -> None:
        if not characters or len(set(characters)) != len(characters):
            raise ValueError("characters: expected at least one, each once")
        self.characters = "".join(sorted(characters))
        self.vocab_size = len(self.characters)
        self.end_of_text: int | None = None
        codes = _code_points(self.characters)
        self._table = np.full(int(codes.max()) + 2, -1, np.int64)
        self._table[codes] = np.arange(self.vocab_size)

    @classmethod
    def train(cls, texts: Iterable[str]) -> "CharTokenizer":
        """All characters that occur."""
        found: set[str] = set()
        for text in texts:
            found.update(text)
        return cls("".join(sorted(found)))

    def encode(self, text: str) -> Ids:
        """Ids of a text.

        Raises:
            ValueError: a character is not in the vocabulary.
        """
        codes = _code_points(text)
        ids = self._table[np.minimum(codes, len(self._table) - 1)]
        if (unknown := ids < 0).any():
            which = sorted({chr(code) for code in codes[unknown]})
            raise ValueError(
                f"text: the vocabulary of this character tokenizer lacks {which[:10]}; "
                "a BPE tokenizer takes any text"
            )
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        return "".join(self.characters[i] for i in ids)

    def to_json(self) -> str:
        return json.dumps({"type": "pyllm-char", "characters": self.characters})


class BPETokenizer:
    """Byte-level byte-pair encoding (Sennrich et al. 2016; the GPT-2 layout)."""

    def __init__(self, tokenizer: tokenizers.Tokenizer) -> None:
        self._tokenizer = tokenizer
        self.vocab_size = tokenizer.get_vocab_size()
        self.end_of_text: int | None = tokenizer.token_to_id(END_OF_TEXT)

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int) -> "BPETokenizer":
        """Learn the merges of `texts`.

        Raises:
            ValueError: vocab_size is below 257 (256 bytes and the end-of-text token).
        """
        if vocab_size < 257:
            raise ValueError(f"vocab_size: byte-level BPE needs at least 257, got {vocab_size}")
        tokenizer = tokenizers.Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size,
            special_tokens=[END_OF_TEXT],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        tokenizer.train_from_iterator(texts, trainer)
        return cls(tokenizer)

    def encode(self, text: str) -> Ids:
        return np.asarray(self._tokenizer.encode(text, add_special_tokens=False).ids, np.int64)

    def decode(self, ids: Iterable[int]) -> str:
        return self._tokenizer.decode([int(i) for i in ids], skip_special_tokens=False)

    def to_json(self) -> str:
        return self._tokenizer.to_str()


class StreamDecoder:
    """Text of a growing run of ids: holds a token back while it ends inside a character."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._pending: list[int] = []

    def push(self, token: int) -> str:
        """What this token adds to the text; empty while a character is incomplete."""
        self._pending.append(token)
        text = self._tokenizer.decode(self._pending)
        if text.endswith("�") and len(self._pending) < 8:  # a character has at most 4 bytes
            return ""
        self._pending.clear()
        return text

    def flush(self) -> str:
        """What is still held back."""
        text = self._tokenizer.decode(self._pending)
        self._pending.clear()
        return text


def load_tokenizer(path: Path) -> Tokenizer:
    """Read a tokenizer.json.

    Raises:
        FileNotFoundError: there is none.
        ValueError: the file is no tokenizer.
    """
    if path.is_dir():
        path = path / "tokenizer.json"
    if not path.is_file():
        raise FileNotFoundError(f"tokenizer: there is no file {path}")
    return tokenizer_from_json(path.read_text(encoding="utf-8"), str(path))


def tokenizer_from_json(text: str, name: str = "tokenizer") -> Tokenizer:
    """The tokenizer that `to_json` wrote, or a tokenizer.json of Hugging Face.

    Raises:
        ValueError: the text is no tokenizer.
    """
    try:
        content = json.loads(text)
        if isinstance(content, dict) and content.get("type") == "pyllm-char":
            return CharTokenizer(content["characters"])
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{name}: not a tokenizer file ({error})") from None
    try:
        return BPETokenizer(tokenizers.Tokenizer.from_str(text))
    except Exception as error:  # the library raises bare Exception
        raise ValueError(f"{name}: not a tokenizer file ({error})") from None


def train_tokenizer(kind: str, vocab_size: int, texts: Iterator[str]) -> Tokenizer:
    """A new tokenizer for `texts`; `kind` is "char" or "bpe" (`vocab_size` counts for "bpe")."""
    if kind == "char":
        return CharTokenizer.train(texts)
    if kind == "bpe":
        return BPETokenizer.train(texts, vocab_size)
    raise ValueError(f'tokenizer: expected "char", "bpe" or a tokenizer.json, got {kind!r}')


def _code_points(text: str) -> npt.NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
