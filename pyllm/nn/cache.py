"""What one attention layer remembers of the tokens it has seen: their keys and values.

keys, values: (sequences, capacity, num_kv_heads, head_dim), one contiguous stretch a sequence. A
selection of the sequences addresses them by number, as blocks of a paged cache: nothing is copied
when one ends.
"""

import numpy as np
import numpy.typing as npt

from pyllm.autograd import Array
from pyllm.autograd.arrays import zeros


class KVCache:
    """Room for `capacity` tokens of each sequence, on the device of `like` if that is on one.

    Attributes:
        keys, values: of all sequences.
        rows: (batch,), int32: the sequences that this cache, or selection, is about.
    """

    def __init__(
        self,
        batch: int,
        capacity: int,
        num_kv_heads: int,
        head_dim: int,
        dtype: npt.DTypeLike = np.float32,
        like: Array | None = None,
    ) -> None:
        shape = (batch, capacity, num_kv_heads, head_dim)
        self.keys, self.values = (zeros(shape, np.dtype(dtype), like) for _ in range(2))
        self.rows = np.arange(batch, dtype=np.int32)
        self._lengths = np.zeros(batch, np.int32)  # of all sequences

    @property
    def capacity(self) -> int:
        """Tokens a sequence."""
        return self.keys.shape[1]

    @property
    def lengths(self) -> npt.NDArray[np.int32]:
        """(batch,): tokens in each sequence."""
        return self._lengths[self.rows]

    @property
    def is_empty(self) -> bool:
        return not self.lengths.any()

    @property
    def block_table(self) -> Array:
        """(batch, 1), for `ops.attention_decode`: a sequence is one block of `capacity` tokens."""
        return self.rows[:, None]

    def select(self, rows: list[int]) -> "KVCache":
        """Some of the sequences, in this order; what joins them is in this cache too."""
        selection = object.__new__(KVCache)
        selection.keys, selection.values, selection._lengths = self.keys, self.values, self._lengths
        selection.rows = self.rows[rows]
        return selection

    def held(self) -> tuple[Array, Array]:
        """Keys and values of the tokens, where sequences have as many; views of a whole cache."""
        length = int(self.lengths.max(initial=0))
        whole = np.array_equal(self.rows, np.arange(len(self.keys)))
        which = slice(None) if whole else self.rows
        return self.keys[which, :length], self.values[which, :length]

    def reset(self) -> None:
        """Forget all tokens."""
        self._lengths[self.rows] = 0

    def append(self, key: Array, value: Array) -> None:
        """Put key and value (batch, seq, num_kv_heads, head_dim) behind what is there.

        Raises:
            ValueError: another shape, or no room.
        """
        batch, heads = len(self.rows), self.keys.shape[2:]
        if key.ndim != 4 or (key.shape[0], *key.shape[2:]) != (batch, *heads):
            raise ValueError(f"key: expected shape ({batch}, seq, {heads}), got {key.shape}")
        lengths, new = self.lengths, key.shape[1]
        if (longest := int(lengths.max(initial=0))) + new > self.capacity:
            raise ValueError(
                f"cache: holds {longest} of {self.capacity} tokens, no room for {new} more"
            )
        if new == 1:
            self.keys[self.rows, lengths], self.values[self.rows, lengths] = key[:, 0], value[:, 0]
        else:
            for i, (row, start) in enumerate(zip(self.rows, lengths, strict=True)):
                self.keys[row, start : start + new] = key[i]
                self.values[row, start : start + new] = value[i]
        self._lengths[self.rows] = lengths + np.int32(new)
