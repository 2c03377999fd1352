"""Token files: a folder of memory-mapped shards, for data sets larger than memory.

    tokens/
      index.json           {"format": "pyllm-tokens", "version": 1, "dtype": "uint16",
                            "vocab_size": 1024, "text_bytes": {"train": 12000, ...},
                            "splits": {"train": [["train-00000.bin", 5000], ...], ...}}
      tokenizer.json
      train-00000.bin      little-endian ids, nothing else
      validation-00000.bin

ids are uint16 where the vocabulary allows, else uint32. A reader maps the shards and copies only
the windows that it is asked for.
"""

import json
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from pyllm.data.tokenizer import Tokenizer

FORMAT, VERSION = "pyllm-tokens", 1
SHARD_TOKENS = 1 << 27


class TokenWriter:
    """Appends ids to the shards of several splits; `close` writes the index."""

    def __init__(
        self, folder: Path, tokenizer: Tokenizer, shard_tokens: int = SHARD_TOKENS
    ) -> None:
        if shard_tokens < 1:
            raise ValueError(f"shard_tokens: expected at least 1, got {shard_tokens}")
        self._folder, self._tokenizer, self._shard_tokens = folder, tokenizer, shard_tokens
        self._dtype = np.dtype("<u2" if tokenizer.vocab_size <= 1 << 16 else "<u4")
        self._splits: dict[str, list[list]] = {"train": [], "validation": []}
        self._text_bytes = dict.fromkeys(self._splits, 0)
        self._files: dict[str, BinaryIO] = {}

    def append(self, split: str, ids: npt.ArrayLike, text_bytes: int = 0) -> None:
        """Add ids, which stand for so many bytes of text, to the end of a split."""
        self._text_bytes[split] += text_bytes
        rest = np.asarray(ids).astype(self._dtype)
        shards = self._splits[split]
        while len(rest):
            if not shards or shards[-1][1] == self._shard_tokens:
                if split in self._files:
                    self._files.pop(split).close()
                shards.append([f"{split}-{len(shards):05d}.bin", 0])
                self._files[split] = (self._folder / shards[-1][0]).open("wb")
            part = rest[: self._shard_tokens - shards[-1][1]]
            self._files[split].write(part.tobytes())
            shards[-1][1] += len(part)
            rest = rest[len(part) :]

    def tokens(self, split: str) -> int:
        """How many ids the split has so far."""
        return sum(count for _, count in self._splits[split])

    def close(self) -> None:
        """Write tokenizer.json and index.json."""
        for file in self._files.values():
            file.close()
        self._files.clear()
        (self._folder / "tokenizer.json").write_text(self._tokenizer.to_json(), encoding="utf-8")
        index = {
            "format": FORMAT,
            "version": VERSION,
            "dtype": {2: "uint16", 4: "uint32"}[self._dtype.itemsize],
            "vocab_size": self._tokenizer.vocab_size,
            "text_bytes": self._text_bytes,
            "splits": self._splits,
        }
        (self._folder / "index.json").write_text(json.dumps(index, indent=1), encoding="utf-8")

    def __enter__(self) -> "TokenWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        for file in self._files.values():
            file.close()


class TokenFile:
    """One split of a token folder, or ids in memory, read by position.

    Raises:
        FileNotFoundError: no index.json in the folder, or a shard is missing.
        ValueError: the index is of another format, or a shard has another size than it says.
    """

    def __init__(
        self, parts: Sequence[npt.NDArray], vocab_size: int, text_bytes: int | None = None
    ) -> None:
        self._parts = [part for part in parts if len(part)]
        self._starts = [0]
        for part in self._parts:
            self._starts.append(self._starts[-1] + len(part))
        self.vocab_size = vocab_size
        self.text_bytes = text_bytes  # length in UTF-8 of the text that the ids stand for

    @classmethod
    def open(cls, folder: Path, split: str = "train") -> "TokenFile":
        """Map a split ("train" or "validation") of a folder that `prepare` made."""
        index = read_index(folder)
        dtype = np.dtype({"uint16": "<u2", "uint32": "<u4"}[index["dtype"]])
        if split not in index["splits"]:
            raise ValueError(f"split: expected one of {sorted(index['splits'])}, got {split!r}")
        parts = []
        for name, count in index["splits"][split]:
            path = folder / name
            if not path.is_file():
                raise FileNotFoundError(f"token files: {path} is missing")
            if path.stat().st_size != count * dtype.itemsize:
                raise ValueError(
                    f"token files: {path} has {path.stat().st_size} bytes, the index says "
                    f"{count} tokens of {dtype.itemsize} bytes"
                )
            parts.append(np.memmap(path, dtype, "r"))
        return cls(parts, index["vocab_size"], index["text_bytes"].get(split))

    def __len__(self) -> int:
        return self._starts[-1]

    def read(self, start: int, stop: int) -> npt.NDArray[np.int32]:
        """ids [start, stop), copied out of one shard or several.

        Raises:
            ValueError: the range leaves [0, len).
        """
        if not 0 <= start <= stop <= len(self):
            raise ValueError(f"range: [{start}, {stop}) is not inside [0, {len(self)})")
        out = np.empty(stop - start, np.int32)
        done = 0
        while done < len(out):
            shard = bisect_right(self._starts, start + done) - 1
            offset = start + done - self._starts[shard]
            part = self._parts[shard][offset : offset + len(out) - done]
            out[done : done + len(part)] = part
            done += len(part)
        return out

    def windows(
        self, starts: Iterable[int], length: int
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
        """(inputs, targets), each (len(starts), length): targets are one token further on."""
        both = np.stack([self.read(start, start + length + 1) for start in starts])
        return np.ascontiguousarray(both[:, :-1]), np.ascontiguousarray(both[:, 1:])


def is_token_folder(path: Path) -> bool:
    """Whether `prepare` made this folder."""
    return (path / "index.json").is_file()


def read_index(folder: Path) -> dict:
    """The checked index of a token folder."""
    path = folder / "index.json"
    if not path.is_file():
        raise FileNotFoundError(f"token files: there is no {path}; `pyllm prepare` makes one")
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
        known = index["format"] == FORMAT and index["version"] == VERSION
        known = known and index["dtype"] in ("uint16", "uint32") and index["vocab_size"] >= 1
        known = known and isinstance(index["text_bytes"], dict)
        known = known and all(n >= 0 for shards in index["splits"].values() for _, n in shards)
    except (json.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError):
        known = False
    if not known:
        raise ValueError(f"token files: {path} is not an index of format {FORMAT} {VERSION}")
    return index
