"""Text files and folders, read in chunks, so that inputs may be larger than memory.

Every source is split by one rule: its last `fraction` (by bytes, moved to the next safe place to
cut) is for validation, the rest for training. A chunk ends where a tokenizer would cut as well:
after a line end that is not followed by more white space. Tokens of the chunks put together are
then the tokens of the whole text.
"""

import io
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

SUFFIXES = (".txt", ".md", ".text")
CHUNK_BYTES = 4 << 20


@dataclass(frozen=True)
class TextSource:
    """One document: a file, or a text in memory."""

    name: str
    path: Path | None = None
    text: str | None = None

    def open(self) -> BinaryIO:
        if self.path is None:
            return io.BytesIO((self.text or "").encode("utf-8"))
        return self.path.open("rb")

    @property
    def size(self) -> int:
        """Bytes of UTF-8."""
        return os.stat(self.path).st_size if self.path else len((self.text or "").encode("utf-8"))


def find_texts(paths: list[Path]) -> list[TextSource]:
    """The text files among `paths`; a folder gives its .txt, .md and .text files at any depth.

    Raises:
        FileNotFoundError: a path does not exist.
        ValueError: a folder holds no text file, or no path is given.
    """
    if not paths:
        raise ValueError("data: expected at least one text file or folder, got none")
    found: list[TextSource] = []
    for path in paths:
        if not path.exists():
            raise FileNotFoundError(f"data: there is no file or folder {path}")
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.suffix in SUFFIXES and p.is_file())
            if not inside:
                raise ValueError(f"data: no {', '.join(SUFFIXES)} file in the folder {path}")
            found += [TextSource(p.relative_to(path).as_posix(), p) for p in inside]
        else:
            found.append(TextSource(path.name, path))
    return found


def read_chunks(
    source: TextSource, validation_fraction: float = 0.0, chunk_bytes: int = CHUNK_BYTES
) -> Iterator[tuple[str, str]]:
    """("train" or "validation", text) pieces of a source, in order.

    Raises:
        ValueError: the file is not UTF-8 text.
    """
    with source.open() as file:
        size = file.seek(0, os.SEEK_END)
        boundary = _cut_after(file, size - int(size * validation_fraction), size)
        for split, start, stop in (("train", 0, boundary), ("validation", boundary, size)):
            for piece in _read_range(file, start, stop, chunk_bytes):
                yield split, _decode(piece, source)


def _read_range(file: BinaryIO, start: int, stop: int, chunk_bytes: int) -> Iterator[bytes]:
    """Bytes [start, stop) of a file in pieces that end at safe cuts."""
    file.seek(start)
    rest = b""
    while start < stop:
        block = file.read(min(chunk_bytes, stop - start))
        if not block:
            break  # the file was shortened while it was read
        start += len(block)
        rest += block
        if start < stop and (cut := _last_cut(rest)):
            yield rest[:cut]
            rest = rest[cut:]
    if rest:
        yield rest


def _cut_after(file: BinaryIO, at: int, size: int) -> int:
    """The first safe cut at or after byte `at`; the end of the file if there is none."""
    position = max(at - 1, 0)
    file.seek(position)
    tail = b""
    while position < size:
        block = file.read(1 << 16)
        if not block:
            return size
        tail = tail[-1:] + block
        first = position - (len(tail) - len(block))
        if found := _CUT.search(tail):
            return first + found.start() + 1
        position += len(block)
    return size


_CUT = re.compile(rb"\n(?=[^\s])")


def _last_cut(data: bytes) -> int:
    """The last safe cut in `data`, 0 if there is none."""
    end = len(data)
    while (end := data.rfind(b"\n", 0, end)) >= 0:
        if not data[end + 1 : end + 2].isspace() and end + 1 < len(data):
            return end + 1
    return 0


def _decode(data: bytes, source: TextSource) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"data: {source.path or source.name} is not UTF-8 text "
            f"(byte {data[error.start]:#04x} where a character was expected)"
        ) from None
