"""dropout: the mask of the Philox stream, at any thread count, again in backward."""

import numpy as np
import pytest

from pyllm import ops
from tests.reference import philox


@pytest.mark.parametrize("n", [0, 1, 5, 63, 64, 65, 20_000])
@pytest.mark.parametrize("p", [0.0, 0.1, 0.9])
def test_mask_is_the_stream(n, p, dtype, isa):
    x = np.ones(n, dtype)
    seed, stream = 2**63 + 5, 2**40 + 3
    kept = philox.words(seed, stream, n) >= int(p * 2**32)
    scale = np.float64(1 / (1 - p)) if dtype == np.float64 else np.float32(1 / (1 - p))
    expected = np.where(kept, scale, 0).astype(dtype)
    got = ops.dropout(x, p, seed=seed, stream=stream)
    np.testing.assert_array_equal(got.astype(np.float64), expected.astype(np.float64))
    again = ops.dropout_backward(x, p, seed=seed, stream=stream)
    assert again.tobytes() == got.tobytes()


def test_same_at_any_thread_count(threads, rng):
    x = rng.normal(size=100_001).astype(np.float32)
    results = []
    for n in (1, 2, 3):
        threads(n)
        results.append(ops.dropout(x, 0.3, seed=1).tobytes())
    assert len(set(results)) == 1


def test_dropped_infinities_are_zero_and_in_place_is_fine():
    x = np.full(1000, np.inf, np.float32)
    assert ops.dropout(x, 0.5, seed=2, out=x) is x
    assert set(x) == {0, np.inf}


def test_hostile_inputs():
    x = np.ones((4, 4), np.float32)
    for p in (-0.1, 1.0, float("nan")):
        with pytest.raises(ValueError, match="p: expected 0 <= p < 1"):
            ops.dropout(x, p, seed=0)
    with pytest.raises(ValueError, match="x"):
        ops.dropout(x.T[:2], 0.1, seed=0)
    with pytest.raises(TypeError, match="x"):
        ops.dropout(np.ones(3, np.int32), 0.1, seed=0)
