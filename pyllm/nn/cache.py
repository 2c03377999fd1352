"""What one attention layer remembers of the tokens it has seen: their keys and values.

keys, values: (batch, capacity, num_kv_heads, head_dim), of which the first `lengths[b]` positions
of sequence b are in use.
"""

import numpy as np
import numpy.typing as npt

from pyllm.autograd import Array


class KVCache:
    """Room for `capacity` tokens of each sequence."""

    def __init__(
        self,
        batch: int,
        capacity: int,
        num_kv_heads: int,
        head_dim: int,
        dtype: npt.DTypeLike = np.float32,
    ) -> None:
        shape = (batch, capacity, num_kv_heads, head_dim)
        self.keys, self.values = np.zeros(shape, dtype), np.zeros(shape, dtype)
        self.lengths = np.zeros(batch, np.int32)

    @property
    def capacity(self) -> int:
        """Tokens a sequence."""
        return self.keys.shape[1]

    @property
    def is_empty(self) -> bool:
        return not self.lengths.any()

    def reset(self) -> None:
        """Forget all tokens."""
        self.lengths[:] = 0

    def append(self, key: Array, value: Array) -> None:
        """Put key and value (batch, seq, num_kv_heads, head_dim) behind what is there.

        Raises:
            ValueError: another shape, or no room.
        """
        batch, _, *heads = self.keys.shape
        if key.ndim != 4 or key.shape[0] != batch or list(key.shape[2:]) != heads:
            raise ValueError(f"key: expected shape ({batch}, seq, {heads}), got {key.shape}")
        new, longest = key.shape[1], int(self.lengths.max(initial=0))
        if longest + new > self.capacity:
            raise ValueError(
                f"cache: holds {longest} of {self.capacity} tokens, no room for {new} more"
            )
        for b, start in enumerate(self.lengths):
            self.keys[b, start : start + new] = key[b]
            self.values[b, start : start + new] = value[b]
        self.lengths += np.int32(new)
