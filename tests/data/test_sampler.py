"""The batch order: every window once an epoch, the same for the same seed, resumable."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyllm.data import BatchSampler, TokenFile
from pyllm.data.sampler import validation_batches


def tokens_of(count):
    return TokenFile([np.arange(count, dtype=np.uint16)], count)


@given(st.integers(2, 300), st.integers(1, 20), st.integers(0, 2**40))
def test_an_epoch_visits_each_window_once(count, length, seed):
    if count <= length:
        return
    sampler = BatchSampler(tokens_of(count), 1, length, seed)
    for epoch in range(2):
        starts = []
        for _ in range(sampler.windows):
            inputs, targets = sampler.next()
            np.testing.assert_array_equal(targets, inputs + 1)
            starts.append(int(inputs[0, 0]))
        starts.sort()
        assert 0 <= starts[0] <= (count - 1) % length, epoch
        np.testing.assert_array_equal(np.diff(starts), length)


def test_batches_are_a_function_of_seed_and_position():
    one, other = (BatchSampler(tokens_of(1000), 4, 16, 7) for _ in range(2))
    batches = [one.next() for _ in range(40)]  # more than two epochs
    other.position = 33
    np.testing.assert_array_equal(other.next()[0], batches[33][0])
    assert one.position == 40
    different = BatchSampler(tokens_of(1000), 4, 16, 8)
    assert not np.array_equal(different.next()[0], batches[0][0])


def test_epochs_differ():
    sampler = BatchSampler(tokens_of(1001), 1, 10)
    first = [sampler.next()[0][0, 0] for _ in range(100)]
    second = [sampler.next()[0][0, 0] for _ in range(100)]
    assert first != second


def test_order_is_shuffled():
    sampler = BatchSampler(tokens_of(10_001), 1, 10)
    starts = np.array([sampler.next()[0][0, 0] for _ in range(1000)], float)
    assert abs(np.corrcoef(starts, np.arange(1000))[0, 1]) < 0.1  # 3 sigma of a random order


@pytest.mark.parametrize(
    ("count", "batch", "length"), [(10, 1, 10), (10, 0, 5), (10, 1, 0), (0, 1, 1)]
)
def test_hostile_inputs(count, batch, length):
    with pytest.raises(ValueError, match=r"expected at least 1|one window needs"):
        BatchSampler(tokens_of(count), batch, length)


@given(st.integers(0, 500), st.integers(1, 8), st.integers(1, 20), st.integers(1, 5))
def test_validation_windows(count, batch, length, limit):
    tokens = tokens_of(count)
    every = [start for starts in validation_batches(tokens, batch, length) for start in starts]
    assert every == list(range(0, max(count - 1, 0) // length * length, length))
    some = [s for starts in validation_batches(tokens, batch, length, limit) for s in starts]
    assert set(some) <= set(every)
    assert len(some) == len(set(some)) == min(len(every), limit * batch)
