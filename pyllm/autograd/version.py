"""Counts in-place changes of the memory that a tensor and its views share.

A node notes the count of each value that its backward will read, and refuses to go on if it has
changed. Views (slices, reshape, detach, ...) share the Version of what they were taken from.

A recorded change through one tensor leaves the histories of the others that share its memory out of
date. The Version counts such writes, each tensor knows how many its own history tells of, and using
one that lags behind is refused; but for the two halves of `x[i] += y`, where the slice that made
the last write is put back into x.
"""

import weakref
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyllm.autograd.variable import Variable


class Version:
    """Of some memory.

    Attributes:
        writes: changes that were recorded.
        writer: the tensor through which the last of them came.
        of_leaf: whether the memory is that of a leaf that requires a gradient.
    """

    __slots__ = ("_cell", "of_leaf", "writer", "writes")

    def __init__(self, of_leaf: bool = False, same_memory: "Version | None" = None) -> None:
        self._cell: list[int] = [0] if same_memory is None else same_memory._cell
        self.of_leaf = of_leaf
        self.writes = 0
        self.writer: weakref.ref[Variable] | None = None

    @property
    def count(self) -> int:
        """In-place changes so far."""
        return self._cell[0]

    def bump(self) -> None:
        self._cell[0] += 1

    def write(self, writer: "Variable") -> None:
        """Note a recorded change, which the history of `writer` tells of."""
        self.writes += 1
        self.writer = weakref.ref(writer)
        writer._seen = self.writes

    def detached(self) -> "Version":
        """Of the same memory, for a tensor whose lack of a history is meant."""
        return Version(same_memory=self)


class Saved:
    """The count of one value at the time an operation saved it."""

    __slots__ = ("_count", "_shape", "_version")

    def __init__(self, value: "Variable") -> None:
        self._version = value.version
        self._count = self._version.count
        self._shape = value.shape

    @property
    def changes(self) -> int:
        """How often the value has been changed in place since."""
        return self._version.count - self._count

    def check(self, name: str) -> None:
        """Raises: RuntimeError: the value has changed since."""
        changes = self.changes
        if changes:
            raise RuntimeError(
                f"backward: a value of shape {self._shape} that {name} saved has been changed in "
                f"place since ({changes} time{'s' if changes > 1 else ''}); change a copy instead, "
                "or write `x = x + y` for `x += y`"
            )


def check_histories(inputs: Iterable["Variable"]) -> None:
    """Raises: RuntimeError: the memory of an input was changed through another tensor."""
    for t in inputs:
        version = t._version
        if version is not None and version.writes != t._seen:
            raise RuntimeError(
                f"a tensor of shape {t.shape} was changed in place through another that shares its "
                "memory, which its own history does not tell of; take the view anew, or change the "
                "whole tensor by `x[i] = y`"
            )
