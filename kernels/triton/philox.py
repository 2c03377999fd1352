"""Random words in the stream layout of csrc/core/philox.h: the same masks as on the CPU.

Element i of a stream is word i % 4 of the block of counter (i / 4 low, i / 4 high, stream low,
stream high) under the key (seed low, seed high). `tl.rand` lays its counters out otherwise.
"""

import triton
import triton.language as tl
from triton.language.random import philox_impl


@triton.jit
def _blocks(seed, stream, block):
    """The four words of each block of an int64 tensor of blocks."""
    block = block.to(tl.uint64)
    seed, stream = seed.to(tl.uint64), stream.to(tl.uint64)
    zero = (block * 0).to(tl.uint32)
    return philox_impl(
        block.to(tl.uint32),
        (block >> 32).to(tl.uint32),
        zero + stream.to(tl.uint32),
        zero + (stream >> 32).to(tl.uint32),
        seed.to(tl.uint32),
        (seed >> 32).to(tl.uint32),
    )


@triton.jit
def consecutive_words(seed, stream, block):
    """Words of the elements 4 block[0], 4 block[0] + 1, ...: (..., n) blocks give (..., 4 n)."""
    w0, w1, w2, w3 = _blocks(seed, stream, block)
    return tl.interleave(tl.interleave(w0, w2), tl.interleave(w1, w3))


@triton.jit
def words(seed, stream, element):
    """The word of each element, one block drawn for each."""
    w0, w1, w2, w3 = _blocks(seed, stream, element // 4)
    which = element % 4
    return tl.where(which < 2, tl.where(which == 0, w0, w1), tl.where(which == 2, w2, w3))


def drop_threshold(p):
    """An element is dropped when its word is below this: P = threshold / 2^32."""
    return min(int(p * 2.0**32), 2**32 - 1)
