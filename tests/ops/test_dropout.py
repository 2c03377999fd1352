"""dropout: the mask of the Philox stream, at any thread count, again in backward."""

import numpy as np
import pytest

from tests.backends import ops
from tests.reference import philox
from tests.tolerance import assert_close


@pytest.mark.parametrize("n", [0, 1, 5, 63, 64, 65, 20_000])
@pytest.mark.parametrize("p", [0.0, 0.1, 0.9])
def test_mask_is_the_stream(backend, n, p, dtype):
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


def test_dropped_infinities_are_zero_and_in_place_is_fine(backend):
    x = np.full(1000, np.inf, np.float32)
    assert ops.dropout(x, 0.5, seed=2, out=x) is x
    assert set(x) == {0, np.inf}


def test_strides_and_residual(backend, dtype, rng):
    x = rng.normal(size=(7, 6, 50)).astype(dtype).transpose(1, 0, 2)[..., ::-1]
    r = rng.normal(size=x.shape).astype(dtype)
    plain = ops.dropout(np.ascontiguousarray(x), 0.4, seed=9)
    assert ops.dropout(x, 0.4, seed=9).tobytes() == plain.tobytes()
    kept = philox.words(9, 0, x.size).reshape(x.shape) >= int(0.4 * 2**32)
    x64, r64 = x.astype(np.float64), r.astype(np.float64)
    expected = np.where(kept, x64 / 0.6, 0) + r64
    got = ops.dropout(x, 0.4, seed=9, residual=r)
    assert_close(got, expected, ops=3, scale=np.abs(x64 / 0.6) + np.abs(r64))


def test_hostile_inputs():
    x = np.ones((4, 4), np.float32)
    for p in (-0.1, 1.0, float("nan")):
        with pytest.raises(ValueError, match="p: expected 0 <= p < 1"):
            ops.dropout(x, p, seed=0)
    with pytest.raises(ValueError, match="residual: expected shape"):
        ops.dropout(x, 0.1, seed=0, residual=x[:2])
    with pytest.raises(TypeError, match="x"):
        ops.dropout(np.ones(3, np.int32), 0.1, seed=0)
