"""The key/value cache of decoding: one contiguous stretch a layer and sequence.

keys, values: (layers, sequences, capacity, heads, head_dim). A step over some of the sequences only
addresses them by number, as blocks of a paged cache: nothing is copied when a sequence ends.
"""

import numpy as np
import numpy.typing as npt


class Cache:
    """Keys and values of several sequences; `lengths` says how much each one holds."""

    def __init__(
        self,
        layers: int,
        sequences: int,
        capacity: int,
        heads: int,
        head_dim: int,
        dtype: npt.DTypeLike,
    ) -> None:
        shape = (layers, sequences, capacity, heads, head_dim)
        self.keys = np.zeros(shape, dtype)
        self.values = np.zeros(shape, dtype)
        self.lengths = np.zeros(sequences, np.int32)

    @property
    def capacity(self) -> int:
        """Tokens a sequence."""
        return self.keys.shape[2]

    def write(self, layer: int, rows: list[int], key: npt.NDArray, value: npt.NDArray) -> None:
        """Put key and value (rows, seq, heads, head_dim) behind what the sequences hold."""
        for i, row in enumerate(rows):
            start = self.lengths[row]
            self.keys[layer, row, start : start + key.shape[1]] = key[i]
            self.values[layer, row, start : start + value.shape[1]] = value[i]

    def advance(self, rows: list[int], tokens: int) -> None:
        """Count what `write` has written to all layers."""
        self.lengths[rows] += tokens
