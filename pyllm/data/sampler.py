"""Batches of windows in an order that is a pure function of (seed, number of the batch).

An epoch cuts the tokens, from a random offset on, into windows of `length` inputs (plus one: the
targets are the inputs shifted by one), and visits each exactly once in a random order. The order
is not stored: it is a keyed bijection of [0, n), a four-round Feistel network with cycle walking
(Black and Rogaway, "Ciphers with arbitrary finite domains", 2002), so that the state is one number
and any batch of a data set of any size is found at once.
"""

import numpy as np
import numpy.typing as npt

from pyllm.data.tokenfile import TokenFile

_ROUNDS = 4


class BatchSampler:
    """Training batches without end.

    Args:
        tokens: where the windows come from.
        batch_size: windows a batch.
        length: tokens a window.
        seed: of the order.

    Raises:
        ValueError: batch_size or length below 1, or fewer than length + 1 tokens.
    """

    def __init__(self, tokens: TokenFile, batch_size: int, length: int, seed: int = 0) -> None:
        if batch_size < 1 or length < 1:
            raise ValueError(
                f"batch_size, length: expected at least 1, got {batch_size} and {length}"
            )
        if len(tokens) <= length:
            raise ValueError(
                f"tokens: the data has {len(tokens)} tokens, but one window needs {length + 1}; "
                "give more text or a shorter context"
            )
        self._tokens, self.batch_size, self.length, self.seed = tokens, batch_size, length, seed
        # Every offset in [0, spare] leaves room for the same number of windows.
        self.windows = (len(tokens) - 1) // length
        self._spare = (len(tokens) - 1) % length
        self.position = 0  # batches drawn so far: the whole state

    @property
    def tokens(self) -> int:
        """Tokens in the data."""
        return len(self._tokens)

    def next(self) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
        """(inputs, targets), each (batch_size, length)."""
        batch = self.batch(self.position)
        self.position += 1
        return batch

    def batch(self, position: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
        """The batch of a number, whatever was drawn before."""
        first = position * self.batch_size
        starts = (self._start(first + row) for row in range(self.batch_size))
        return self._tokens.windows(starts, self.length)

    def _start(self, number: int) -> int:
        epoch, index = divmod(number, self.windows)
        return self._offset(epoch) + self.length * _permute(index, self.windows, self.seed, epoch)

    def _offset(self, epoch: int) -> int:
        return _mix(self.seed, epoch, 0x0FF5E7) % (self._spare + 1)


def _permute(index: int, n: int, seed: int, epoch: int) -> int:
    """Where a keyed random permutation of [0, n) sends `index`."""
    half = max(1, (max(n - 1, 1).bit_length() + 1) // 2)
    mask = (1 << half) - 1
    while True:
        left, right = index >> half, index & mask
        for turn in range(_ROUNDS):
            left, right = right, left ^ (_mix(seed, epoch, turn << 40 | right) & mask)
        index = left << half | right
        if index < n:
            return index


def _mix(seed: int, epoch: int, value: int) -> int:
    """64 well-mixed bits of three numbers (splitmix64's finaliser, chained)."""
    state = 0
    for word in (seed, epoch, value):
        state = (state ^ word) + 0x9E3779B97F4A7C15 & _M64
        state = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 & _M64
        state = (state ^ state >> 27) * 0x94D049BB133111EB & _M64
        state ^= state >> 31
    return state


_M64 = (1 << 64) - 1


def validation_batches(
    tokens: TokenFile, batch_size: int, length: int, max_batches: int | None = None
) -> list[tuple[int, ...]]:
    """Start positions of the windows of an evaluation, batch by batch, evenly spread.

    All non-overlapping windows, or max_batches * batch_size of them at equal distances.
    """
    windows = (len(tokens) - 1) // length
    wanted = windows if max_batches is None else min(windows, max_batches * batch_size)
    starts = [i * windows // wanted * length for i in range(wanted)]
    return [tuple(starts[i : i + batch_size]) for i in range(0, wanted, batch_size)]
