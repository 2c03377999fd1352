"""Universal Binary JSON (draft 12, ubjson.org), read only: the format of XGBoost's .ubj files."""

from typing import Any

import numpy as np

_NUMBERS = {
    b"i": (">i1", 1),
    b"U": (">u1", 1),
    b"I": (">i2", 2),
    b"l": (">i4", 4),
    b"L": (">i8", 8),
    b"d": (">f4", 4),
    b"D": (">f8", 8),
}
_CONSTANTS = {b"Z": None, b"T": True, b"F": False}
_MAX_DEPTH = 64


def read_ubjson(content: bytes) -> Any:
    """The value in `content`; arrays of numbers of one type come as NumPy arrays.

    Raises:
        ValueError: `content` is not one UBJSON value, or nested deeper than 64.
    """
    reader = _Reader(content)
    value = reader.value(reader.marker(), _MAX_DEPTH)
    while reader.at < len(content):
        if reader.take(1) != b"N":
            raise ValueError(f"UBJSON: unexpected content at byte {reader.at - 1}")
    return value


class _Reader:
    """Nothing is allocated that is larger than what is left to read."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.at = 0

    def take(self, size: int) -> bytes:
        if not 0 <= size <= len(self.content) - self.at:
            raise ValueError(f"UBJSON: cut off at byte {len(self.content)}, or not UBJSON")
        self.at += size
        return self.content[self.at - size : self.at]

    def marker(self) -> bytes:
        """The next marker that is no padding."""
        marker = self.take(1)
        while marker == b"N":
            marker = self.take(1)
        return marker

    def value(self, marker: bytes, depth: int) -> Any:
        if depth == 0:
            raise ValueError(f"UBJSON: nested deeper than {_MAX_DEPTH}")
        if marker in _NUMBERS:
            return self.number(marker)
        if marker in _CONSTANTS:
            return _CONSTANTS[marker]
        if marker in (b"S", b"H"):
            text = self.text()
            return text if marker == b"S" else float(text)
        if marker == b"C":
            return self.take(1).decode("ascii")
        if marker == b"[":
            return self.array(depth - 1)
        if marker == b"{":
            return self.object(depth - 1)
        raise ValueError(f"UBJSON: unknown marker {marker!r} at byte {self.at - 1}")

    def number(self, marker: bytes) -> int | float:
        code, size = _NUMBERS[marker]
        return np.frombuffer(self.take(size), code)[0].item()

    def length(self) -> int:
        marker = self.marker()
        if marker not in (b"i", b"U", b"I", b"l", b"L"):
            raise ValueError(f"UBJSON: expected a length at byte {self.at - 1}, got {marker!r}")
        length = int(self.number(marker))
        if length < 0:
            raise ValueError(f"UBJSON: negative length at byte {self.at}")
        return length

    def text(self) -> str:
        return self.take(self.length()).decode("utf-8")  # its error is a ValueError

    def header(self) -> tuple[bytes | None, int | None, bytes]:
        """Type and count of a container, if given, and the marker after them."""
        kind: bytes | None = None
        marker = self.marker()
        if marker == b"$":
            kind = self.take(1)
            marker = self.marker()
            if marker != b"#":
                raise ValueError(f"UBJSON: expected a count at byte {self.at - 1}")
        if marker != b"#":
            return None, None, marker
        count = self.length()
        if kind in (b"Z", b"T", b"F", b"N"):  # no byte an element: any count would fit
            raise ValueError(f"UBJSON: containers of type {kind!r} are not supported")
        if count > len(self.content) - self.at:
            raise ValueError(f"UBJSON: {count} elements announced at byte {self.at}, cut off")
        return kind, count, b""

    def array(self, depth: int) -> Any:
        kind, count, marker = self.header()
        if count is None:
            items = []
            while marker != b"]":
                items.append(self.value(marker, depth))
                marker = self.marker()
            return items
        if kind in _NUMBERS:
            code, size = _NUMBERS[kind]
            return np.frombuffer(self.take(count * size), code).astype(code[1:])
        return [self.value(kind or self.marker(), depth) for _ in range(count)]

    def object(self, depth: int) -> dict[str, Any]:
        kind, count, marker = self.header()
        result: dict[str, Any] = {}
        if count is not None:
            for _ in range(count):
                key = self.text()
                result[key] = self.value(kind or self.marker(), depth)
            return result
        while marker != b"}":
            self.at -= 1  # it was the first byte of the key's length
            key = self.text()
            result[key] = self.value(self.marker(), depth)
            marker = self.marker()
        return result
